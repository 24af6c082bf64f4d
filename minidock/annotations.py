# SPDX-License-Identifier: Apache-2.0
"""What `typing` has for annotations, at no cost: that module takes 2.5 ms of each command.

Type checkers see the real ones. At run time nothing asks what an annotation says, so each name
stands for whatever is the least that it can be.
"""

TYPE_CHECKING = False  # checkers take a variable of this name for true

if TYPE_CHECKING:
    from typing import Any as Any
    from typing import Generic as Generic
    from typing import Literal as Literal
    from typing import Never as Never
    from typing import NewType as NewType
    from typing import NoReturn as NoReturn
    from typing import Protocol as Protocol
    from typing import Self as Self
    from typing import TextIO as TextIO
    from typing import TypeVar as TypeVar
    from typing import cast as cast
else:
    Any = Never = NoReturn = Self = TextIO = object

    class Generic:
        """The base of a class whose parts have a type that is left open."""

        def __class_getitem__(cls, _):
            return cls

    class Protocol(Generic):
        """The base of a class that says what others have to have."""

    class Literal(Generic):
        """One of some values."""

    def NewType(_, base):
        """Return `base`, which makes the value of its argument."""
        return base

    def TypeVar(_, **__):
        """Return what any type is."""
        return object

    def cast(_, value):
        """Return `value`."""
        return value
