"""Whether a scheduler has so many steps: before the first of them, and in words."""

import sys


def check_steps(scheduler, steps):
    """Ends the script where the scheduler would fail at its last steps, or draw nothing."""
    copy = scheduler.from_config(scheduler.config)
    trained = copy.config.num_train_timesteps
    try:
        copy.set_timesteps(steps)
        good = steps <= trained and max(copy.timesteps.tolist()) < trained and _noises(copy, steps)
    except (ValueError, IndexError):
        good = False
    if not good:
        name = type(scheduler).__name__
        sys.stderr.write(f"error: argument --steps: the model's {name} has no {steps} steps\n")
        sys.exit(2)


def _noises(scheduler, steps):
    """Whether each step begins with another noise; between equal ones there is nothing to do."""
    sigmas = getattr(scheduler, "sigmas", None)
    return sigmas is None or len(set(sigmas.tolist()[:-1])) >= steps
