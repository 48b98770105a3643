"""A picture is written whole or not at all: beside its place first, and then put there."""

import os
import shutil
import sys


def save(image, path):
    """Write `image` to `path`, over what is there (a link stays one), or end the script."""
    path = path.resolve()
    part = path.with_name(f".{os.getpid()}.part{path.suffix}")
    try:
        try:
            image.save(part)
            if path.exists():
                shutil.copymode(path, part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        sys.exit(f"error: {path} cannot be written: {error.strerror or error}")
