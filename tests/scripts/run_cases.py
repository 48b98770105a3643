"""Run cases in this process and print what each gave: a plain script, as a person's would be.

    python tests/scripts/run_cases.py weights               # a whole kind, on plain torch
    sdbackends run --backend jax tests/scripts/run_cases.py weights/state_dict_alias

With `--write FILE` each result is a line of JSON there, written as soon as it is known, after a
line that says that the case begins: a case that ends the process is then known too.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import importlib
import json
import random
import sys
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from tests.scripts.registry import Case, every_case  # noqa: E402
from tests.scripts.values import encode, short  # noqa: E402

#: A case that takes as long as this hangs.
LIMIT_S = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="KIND or KIND/CASE; all where none is given")
    parser.add_argument("--write", type=Path, help="a file for lines of JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for case in chosen(options.names):
        _write(options.write, {"case": str(case), "begins": True})
        started = time.perf_counter()
        faulthandler.dump_traceback_later(LIMIT_S, exit=True)
        result = run(case)
        faulthandler.cancel_dump_traceback_later()
        seconds = round(time.perf_counter() - started, 2)
        _write(options.write, {"case": str(case), "result": result, "seconds": seconds})
        print(f"{case} ({seconds} s): {short(result)}", flush=True)
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)  # the end of the process may hang, too


def chosen(names: list[str]) -> list[Case]:
    known = every_case()
    unknown = set(names) - {str(case) for case in known} - {case.kind for case in known}
    if unknown:
        sys.exit(f"no such kind or case: {', '.join(sorted(unknown))}")
    return [case for case in known if not names or case.kind in names or str(case) in names]


def run(case: Case) -> Any:
    """The encoded result; `{"raised": "TypeName: first line"}` where it raised.

    Every case begins with the same seeds, and must leave nothing switched on for the next one.
    """
    import numpy as np
    import torch

    function = getattr(importlib.import_module(f"tests.scripts.cases.{case.kind}"), case.name)
    gc.freeze()  # the libraries: they need not be looked through after every case
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    try:
        result = encode(function())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        result = {"raised": said(error)}
    finally:
        torch.set_grad_enabled(True)
        gc.collect()
    if left := left_on():
        return {
            "raised": f"the call left something switched on: {left}; before that: {short(result)}"
        }
    return result


def left_on() -> str:
    """What a tracer that gave up has left on: every later call would run on eager torch."""
    import torch
    from torch._guards import TracingContext
    from torch.overrides import _get_current_function_mode_stack
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

    found = {
        "torch.compiler.is_compiling()": torch.compiler.is_compiling(),
        "torch.compiler.is_exporting()": torch.compiler.is_exporting(),
        "a tracing context": TracingContext.try_get() is not None,
        "a dispatch mode": bool(_get_current_dispatch_mode_stack()),
        "a function mode": bool(_get_current_function_mode_stack()),
    }
    return ", ".join(name for name, on in found.items() if on)


def said(error: BaseException) -> str:
    """An exception as a person quotes it: its type and the first line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _write(path: Path | None, line: dict[str, Any]) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
