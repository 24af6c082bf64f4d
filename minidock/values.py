# SPDX-License-Identifier: Apache-2.0
"""Frozen values: `typing.NamedTuple`, made at a tenth of the cost.

The standard library compiles a constructor for each class, which makes 9 ms of each command's
start for some hundred classes. This one gives all classes the same constructor. Values are made
and compared as fast as before where they are many; type checkers see the standard one.
"""

from operator import itemgetter

from minidock.annotations import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    # An item has the same property in every class: to make new ones took each command 1 ms.
    _ITEMS = []

    class _Values(type):
        """Makes a class of the fields that a class body annotates."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            fields = tuple(body.get("__annotations__", ()))
            body["_field_defaults"] = {field: body[field] for field in fields if field in body}
            body["_fields"] = body["__match_args__"] = fields
            while len(_ITEMS) < len(fields):
                _ITEMS.append(property(itemgetter(len(_ITEMS))))
            body.update(zip(fields, _ITEMS, strict=False))
            body.setdefault("__slots__", ())
            return super().__new__(cls, name, bases, body)

    class NamedTuple(tuple, metaclass=_Values):
        """A tuple whose items have the names, and defaults, of the class body's annotations."""

        def __new__(cls, *values, **named):
            missing = cls._fields[len(values) :]
            if missing or named:
                values += tuple(cls._complete(missing, named))
            elif len(values) > len(cls._fields):
                raise TypeError(f"{cls.__name__} takes {len(cls._fields)} values")
            return tuple.__new__(cls, values)

        @classmethod
        def _complete(cls, missing, named):
            for field in missing:
                if field in named:
                    yield named.pop(field)
                elif field in cls._field_defaults:
                    yield cls._field_defaults[field]
                else:
                    raise TypeError(f"{cls.__name__} needs a value for {field!r}")
            if named:
                raise TypeError(f"{cls.__name__} can't take {', '.join(map(repr, named))}")

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **changes):
            values = [changes.pop(f, v) for f, v in zip(self._fields, self, strict=True)]
            if changes:
                raise ValueError(f"{type(self).__name__} has no field {next(iter(changes))!r}")
            return tuple.__new__(type(self), values)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            pairs = (f"{f}={v!r}" for f, v in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({', '.join(pairs)})"

        def __getnewargs__(self):
            return tuple(self)
