"""The base of an engine's option record: what a backend file says against what the engine accepts.

A record imports no framework, so that the catalog refuses a wrong option when it reads the file,
also on a machine on which the engine cannot run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from sdbackends.errors import UsageError

Options = TypeVar("Options", bound="EngineOptions")


class EngineOptions(BaseModel):
    """Hold the options of one engine: a field for each, with its default and what it is for.

    Strict, so that 1 and "yes" are no booleans. The description of a field that is neither a
    Literal nor a boolean begins with the values that it accepts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: The engine's name, for messages.
    engine: ClassVar[str]

    @classmethod
    def checked(cls: type[Options], given: Mapping[str, Any]) -> Options:
        """Check `given`, and fill in the defaults.

        Raises:
            UsageError: an option is unknown or has a value that is not accepted.
        """
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(first["msg"], fix=first["ctx"]["fix"]) from None

    @model_validator(mode="wrap")
    @classmethod
    def _say_what_is_accepted(
        cls: type[Options], given: Any, handler: ModelWrapValidatorHandler[Options]
    ) -> Options:
        try:
            return handler(given)
        except ValidationError as error:
            # A union has an error for each of its members: one for each option is enough.
            refused = {problem["loc"][0]: problem for problem in error.errors()}
            details = [cls._refusal(name, problem) for name, problem in refused.items()]
            raise ValidationError.from_exception_data(cls.__name__, details) from None

    @classmethod
    def _refusal(cls, name: int | str, problem: ErrorDetails) -> InitErrorDetails:
        value, field = problem["input"], cls.model_fields.get(str(name))
        if field is None:
            what = f"engine {cls.engine!r} has no option {name!r}"
            accepted = ", ".join(sorted(cls.model_fields)) or "none"
        else:
            what = f"option {name!r} of engine {cls.engine!r} cannot be {value!r}"
            accepted = _accepted(field)
        # As values, not as the template: braces in what was given are no fields of it.
        said = {"what": what, "fix": f"accepted: {accepted}"}
        kind = PydanticCustomError("engine_option", "{what}", said)
        return InitErrorDetails(type=kind, loc=(name,), input=value)


class EagerOptions(EngineOptions):
    """Refuse every option: plain torch has none."""

    engine = "eager"


def _accepted(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "False, True"
    if get_origin(field.annotation) is Literal:
        return ", ".join(map(repr, get_args(field.annotation)))
    return field.description or str(field.annotation)
