"""The types of the fields that backends and environments both have."""

from __future__ import annotations

from typing import Annotated

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, Field


def _version_range(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f'{text!r} is no version range such as ">=3.10"') from None
    return text


def _requirement(text: str) -> str:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        # What follows shows the text again, with a mark under the place.
        why = str(error).partition("\n")[0]
        raise ValueError(f"{text!r} is no requirement: {why}") from None
    return text


def _module(text: str) -> str:
    if not text.isidentifier():
        raise ValueError(f"{text!r} is no name of a module")
    return text


#: Versions that are accepted: ">=3.10".
VersionRange = Annotated[str, AfterValidator(_version_range)]
#: What pip calls a requirement, and no option of pip's.
RequirementLine = Annotated[str, AfterValidator(_requirement)]
#: Import name -> accepted versions; the first is the engine's own package.
Modules = Annotated[
    dict[Annotated[str, AfterValidator(_module)], VersionRange], Field(min_length=1)
]
