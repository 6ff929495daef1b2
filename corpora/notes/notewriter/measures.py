"""Vital signs and laboratory values; the same in all sentences of one note."""

from __future__ import annotations

from notewriter.chance import Chance, Pool
from notewriter.data import read

__all__ = ["Measures"]


class Measures:
    """Measurements of one note, each given as a template; methods are named as their slots are."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        ill = chance.happens(0.4)
        self._systolic = chance.number(*((88, 186) if ill else (104, 148)))
        self._diastolic = min(chance.number(*((50, 108) if ill else (60, 90))), self._systolic - 22)
        self._pulse = chance.number(*((54, 134) if ill else (60, 98)))
        self._breaths = chance.number(*((16, 30) if ill else (12, 20)))
        self._celsius = chance.number(*((360, 398) if ill else (362, 374))) / 10
        self._saturation = chance.number(*((86, 97) if ill else (94, 100)))
        self._kilograms = chance.number(480, 1260) / 10
        self._fahrenheit = chance.happens(0.6)
        self._values: dict[str, float] = {}
        self._labs = Pool(list(read("labs")), chance)
        self._last = "hemoglobin"

    def prefer(self, labs: list[str]) -> None:
        """Let laboratory values be of these tests first."""
        others = self._chance.sample([lab for lab in read("labs") if lab not in labs], 6)
        others = [lab for lab in others if lab not in ("PSA", "beta-hCG", "ethanol level")]
        self._labs = Pool([*labs, *others], self._chance)

    def bp(self) -> str:
        """Give the blood pressure."""
        value = f"{self._systolic}/{self._diastolic}"
        return self._pick(
            f"<BP|T> <{value}|V>",
            f"<blood pressure|T> <{value} mmHg|V>",
            f"<BP|T>: <{value}|V>",
            f"<BP|T> of <{value}|V>",
        )

    def hr(self) -> str:
        """Give the heart rate."""
        value = str(self._pulse)
        return self._pick(
            f"<HR|T> <{value}|V>", f"<heart rate|T> <{value} bpm|V>", f"<pulse|T> <{value}|V>", f"<P|T> <{value}|V>",
            f"<heart rate|T> <{value}|V>",
        )  # fmt: skip

    def rr(self) -> str:
        """Give the respiratory rate."""
        value = str(self._breaths)
        return self._pick(
            f"<RR|T> <{value}|V>",
            f"<respiratory rate|T> <{value}|V>",
            f"<respirations|T> <{value}|V>",
            f"<R|T> <{value}|V>",
        )

    def temp(self) -> str:
        """Give the temperature."""
        value = f"{self._celsius * 1.8 + 32:.1f}" if self._fahrenheit else f"{self._celsius:.1f}"
        unit = "F" if self._fahrenheit else "C"
        return self._pick(
            f"<temperature|T> <{value} {unit}|V>", f"<T|T> <{value}|V>", f"<Temp|T> <{value} {unit}|V>",
            f"<temperature|T> <{value} °{unit}|V>", f"<T|T> <{value}{unit}|V>",
        )  # fmt: skip

    def spo2(self) -> str:
        """Give the oxygen saturation."""
        value = f"{self._saturation}%"
        return self._pick(
            f"<SpO2|T> <{value}|V>",
            f"<O2 sat|T> <{value}|V>",
            f"<oxygen saturation|T> <{value}|V>",
            f"<sats|T> <{value}|V>",
        )

    def weight(self) -> str:
        """Give the weight."""
        return self._pick(
            f"<weight|T> <{self._kilograms:.1f} kg|V>", f"<Wt|T> <{self._kilograms * 2.205:.0f} lbs|V>",
            f"<weight|T> <{self._kilograms * 2.205:.0f} pounds|V>",
        )  # fmt: skip

    def pain(self) -> str:
        """Give the pain score."""
        return self._pick("<pain|T> <{n:0-9}/10|V>", "<pain score|T> <{n:0-9} of 10|V>")

    def lab(self) -> str:
        """Give a laboratory value, short."""
        name, value, unit = self._measure()
        shown = self._name(name)
        return self._pick(
            f"<{shown}|T> <{value}|V>", f"<{shown}|T> <{value}{unit}|V>", f"<{shown}|T> <{value}{unit}|V>",
            f"<{shown}|T>: <{value}{unit}|V>",
        )  # fmt: skip

    def lab_prose(self) -> str:
        """Give a laboratory value in a sentence."""
        name, value, unit = self._measure()
        how = self._judge(name, float(value))
        return self._pick(
            f"<{self._name(name)}|T> was <{value}{unit}|V>",
            f"<{self._name(name)}|T> was <{how}|V> at <{value}{unit}|V>",
            f"<{self._name(name)}|T> was <{how}|V> (<{value}{unit}|V>)",
        )

    def lab_row(self) -> str:
        """Give a laboratory value as the row of a table."""
        name, value, unit = self._measure()
        _, _, _, _, low, high, places = read("labs")[name]
        mark = {"low": " (L)", "high": " (H)"}.get(self._judge(name, float(value)), "")
        between = f"{low:.{places}f}-{high:.{places}f}"
        return self._pick(
            f"<{name}|T>: <{value}{unit}|V>{mark}",
            f"<{name}|T> <{value}{unit}|V> ({between})",
            f"<{self._name(name)}|T> = <{value}{unit}|V>{mark}",
        )

    def labname(self) -> str:
        """Give the name of a laboratory test."""
        self._last = self._labs.draw()
        return self._name(self._last)

    def labvalue(self) -> str:
        """Give the value of the test named last."""
        value, unit = self._value(self._last)
        return f"{value}{unit}"

    def flag(self) -> str:
        """Give the normal range of the test measured last."""
        _, _, _, _, low, high, places = read("labs")[self._last]
        return f"[reference|normal|ref] {low:.{places}f}-{high:.{places}f}"

    def _measure(self) -> tuple[str, str, str]:
        self._last = self._labs.draw()
        return self._last, *self._value(self._last)

    def _value(self, name: str) -> tuple[str, str]:
        _, unit, lowest, highest, low, high, places = read("labs")[name]
        if name not in self._values:
            between = (low, high) if self._chance.happens(0.45) else (lowest, highest)
            scale = 10**places
            self._values[name] = self._chance.number(round(between[0] * scale), round(between[1] * scale)) / scale
        return f"{self._values[name]:.{places}f}", unit if unit == "%" else f" {unit}" if unit else ""

    def _judge(self, name: str, value: float) -> str:
        _, _, _, _, low, high, _ = read("labs")[name]
        return "low" if value < low else "high" if value > high else "normal"

    def _name(self, name: str) -> str:
        others: list[str] = read("labs")[name][0].split("|")
        return self._chance.pick([name, name, *others])

    def _pick(self, *templates: str) -> str:
        return self._chance.pick(templates)
