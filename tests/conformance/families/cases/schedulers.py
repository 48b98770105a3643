"""Every scheduler of diffusers: one case each, or the reason why it is none.

Stable Diffusion 1.5 takes most of them, Stable Diffusion 3 those of flow models. A scheduler that
plain torch cannot run with either stands in `NO_CASE` with what diffusers says, and every other one
of the installed diffusers is a case.
"""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

import diffusers.schedulers
from diffusers import SchedulerMixin

from tests.conformance.families.cases.plain import seed
from tests.conformance.families.catalog import case

#: Configuration beside the pipeline's own: no warm-up of more than two steps, no noise of its own.
SETTINGS: dict[str, dict[str, Any]] = {
    "DPMSolverSDEScheduler": {"noise_sampler_seed": 0},
    "PNDMScheduler": {"skip_prk_steps": True},
}
#: Settings by which people know a sampler, beside the plain one of its class.
KNOWN_AS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDIM_v_prediction": (
        "DDIMScheduler",
        {
            "prediction_type": "v_prediction",
            "timestep_spacing": "trailing",
            "rescale_betas_zero_snr": True,
        },
    ),
    "DDPM_thresholding": ("DDPMScheduler", {"thresholding": True}),
    "DPM_2M_Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "DPM_2M_SDE": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "Euler_Karras_trailing": (
        "EulerDiscreteScheduler",
        {"use_karras_sigmas": True, "timestep_spacing": "trailing"},
    ),
    "Euler_exponential": ("EulerDiscreteScheduler", {"use_exponential_sigmas": True}),
    "PNDM_Runge_Kutta": ("PNDMScheduler", {"skip_prk_steps": False}),
    "UniPC_lu_lambdas": ("UniPCMultistepScheduler", {"use_lu_lambdas": True}),
}
#: Makes a solver of noise one of flow.
FLOW_SIGMAS = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
#: Number of steps, where two are too few for the scheduler.
STEPS = {"PNDM_Runge_Kutta": 4}
#: Those that go from noise to picture in a straight line: for Stable Diffusion 3.
FLOW = frozenset(
    {
        "FlowMapEulerDiscreteScheduler",
        "FlowMatchEulerDiscreteScheduler",
        "FlowMatchHeunDiscreteScheduler",
        "FlowMatchLCMScheduler",
        "LTXEulerAncestralRFScheduler",
        "MiniMaxH3Scheduler",
    }
)
NO_CASE: dict[str, str] = {
    "AmusedScheduler": "needs a mask_token_id: it draws tokens, not latents",
    "BlockRefinementScheduler": "no init_noise_sigma: it refines tokens",
    "CogVideoXDPMScheduler": "step() takes the previous timestep as well",
    "DDPMWuerstchenScheduler": "no order: the timesteps are ratios",
    "DiscreteDDIMScheduler": "no init_noise_sigma: it draws tokens",
    "EntropyBoundScheduler": "no init_noise_sigma: it draws tokens",
    "HeliosDMDScheduler": "its sigmas belong to the stages of a video model",
    "HeliosScheduler": "its sigmas belong to the stages of a video model",
    "KarrasVeScheduler": "step() takes sample_hat",
    "PiflowScheduler": "its steps belong to a distilled model with a grid of outputs",
    "RFD4ProteinaScheduler": "needs a schedule and a noise mode of protein models",
    "RePaintScheduler": "step() takes the original image and a mask",
    "SCMScheduler": "its timesteps are angles, one more than the steps",
    "ScoreSdeVeScheduler": "no step(), but step_pred() and step_correct()",
    "ScoreSdeVpScheduler": "no init_noise_sigma and no step()",
    "UnCLIPScheduler": "takes the schedule squaredcos_cap_v2 alone",
    "VQDiffusionScheduler": "needs a num_vec_classes: it draws tokens",
}
#: Schedulers that stand on a package that may be missing.
NEEDS = {
    "CosineDPMSolverMultistepScheduler": "torchsde",
    "DPMSolverSDEScheduler": "torchsde",
}
NO_CASE.update(
    {
        name: f"the package {package} is missing"
        for name, package in NEEDS.items()
        if importlib.util.find_spec(package) is None
    }
)


def everything() -> dict[str, type[SchedulerMixin]]:
    """The scheduler classes of the installed diffusers by name."""
    return {
        name: thing
        for name in dir(diffusers.schedulers)
        if name.endswith("Scheduler")
        and inspect.isclass(thing := getattr(diffusers.schedulers, name))
    }


def drawn_with(pipe: Any, call: dict[str, Any], scheduler: str, settings: dict[str, Any]) -> Any:
    """The pipeline's picture with another scheduler in place of its own."""
    kind = everything()[scheduler]
    pipe.scheduler = kind.from_config(pipe.scheduler.config, **settings)
    return pipe(**call, generator=seed(), output_type="np").images


def _add(name: str, scheduler: str, settings: dict[str, Any], family: str = "sd15") -> None:
    def draw(pipe: Any, call: dict[str, Any]) -> Any:
        steps = STEPS.get(name, call["num_inference_steps"])
        return drawn_with(pipe, {**call, "num_inference_steps": steps}, scheduler, settings)

    draw.__name__ = name
    case(family, name.replace("_", " "), "Schedulers")(draw)


for _name in sorted(everything().keys() - NO_CASE.keys()):
    _add(_name, _name, SETTINGS.get(_name, {}), "sd3" if _name in FLOW else "sd15")
for _name, (_scheduler, _settings) in KNOWN_AS.items():
    _add(_name, _scheduler, _settings)
_add("DPM_2M_flow", "DPMSolverMultistepScheduler", FLOW_SIGMAS, "sd3")
_add("UniPC_flow", "UniPCMultistepScheduler", FLOW_SIGMAS, "sd3")
