"""Every word beside a number: what is measured, what only leads to it, and what the number belongs to.

Words of units, forms, routes, frequencies and comparators are in `tests/stages/values/test_words.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clinnlp.record import Record, Value
from clinnlp.rules import load_rules
from clinnlp.stages import ValueExtractor
from rules.tables import read_table, words_in

STAGES = {lang: ValueExtractor(lang) for lang in ("en", "zh")}
both = pytest.mark.parametrize("lang", ["en", "zh"])
LISTS = ("names", "exact_names", "names_after", "generic_names", "connectors", "name_adjectives", "not_names",
         "code_words", "date_cues")  # fmt: skip


def words(lang: str, name: str) -> list[str]:
    return words_in(read_table(lang, "values").get(name, "")) if name in read_table(lang, "values") else []


def values(text: str, lang: str = "en") -> list[Value]:
    record = Record(text, metadata={"time": "2024-03-10"})
    STAGES[lang].process([record])
    return record.values


def named(text: str, lang: str = "en") -> list[tuple[str, float | None]]:
    """Give the names and numbers of the measurements of a text."""
    return [(value.name, value.number) for value in values(text, lang) if value.kind == "quantity"]


def dated(text: str, lang: str = "en") -> list[str]:
    return [value.time for value in values(text, lang)]


@both
def test_the_table_is_complete(lang: str) -> None:
    rules = load_rules("values", lang)
    for name in LISTS:
        assert sorted(words(lang, name)) == sorted(rules.get(name, [])), name


@both
def test_a_number_behind_a_name_needs_no_unit(lang: str) -> None:
    for name in [*words(lang, "names"), *words(lang, "exact_names")]:
        assert named(f"{name} 14.5", lang) == [(name, 14.5)]
    assert named("zorble 14.5") == named("佐布 14.5", "zh") == []


def test_names_of_one_or_two_letters_are_names_as_they_are_written() -> None:
    for name in words("en", "exact_names"):
        if name.lower() not in words("en", "names"):
            assert named(f"{name.swapcase()} 14.5") == [], name


@both
def test_a_name_may_stand_behind_a_score(lang: str) -> None:
    for name in words(lang, "names_after"):
        assert named(f"5/5{' ' if lang == 'en' else ''}{name}", lang) == [(name, None)]
    assert named("5/5 zorble") == named("5/5佐布", "zh") == []


def test_the_name_of_a_score_has_the_words_before_it() -> None:
    for name in words("en", "generic_names"):
        assert named(f"Zorble {name} 14.5") == [(f"Zorble {name}", 14.5)]


@both
def test_connectors_lead_from_a_name_to_its_number(lang: str) -> None:
    for word in words(lang, "connectors"):
        text = f"INR {word} 14.5" if lang == "en" else f"血糖{word}14.5"
        assert named(text, lang) == [("INR" if lang == "en" else "血糖", 14.5)], word
    assert named("INR zorble 14.5") == named("血糖佐布14.5", "zh") == []


def test_adjectives_belong_to_the_name_behind_them() -> None:
    for word in words("en", "name_adjectives"):
        assert named(f"{word} sodium 140") == [(f"{word} sodium", 140)]
    assert named("zorble sodium 140") == [("sodium", 140)]


def test_a_name_that_is_not_known_has_none_of_these_words() -> None:
    for word in words("en", "not_names"):
        assert named(f"frob {word} zorble 7 mmol/L") == [("zorble", 7)], word
    assert named("frob blick zorble 7 mmol/L") == [("frob blick zorble", 7)]


@both
def test_a_number_behind_a_code_word_is_no_value(lang: str) -> None:
    for word in words(lang, "code_words"):
        text = f"seen {word} 7 g there" if lang == "en" else f"见{word}7g"
        assert values(text, lang) == [], word
    assert len(values("seen zorble 7 g there")) == len(values("见佐布7g", "zh")) == 1


def test_a_number_behind_a_word_of_taking_counts_what_has_the_measure_behind_it() -> None:
    rules = load_rules("values", "en")
    for word in rules["counting_words"]:
        assert [value.number for value in values(f"zorble {word} 1 500 mg")][-1] == 500, word
    for form in rules["counted_forms"]:
        for word in rules["forms"][form]["words"]:
            assert [v.number for v in values(f"zorble 1 500 mg {word}") if v.kind == "quantity"] == [500], word
    assert [value.number for value in values("zorble 1 500 mg frob")] == [1500]
    assert [value.number for value in values("take 1 000 mg tablets") if value.kind == "quantity"] == [1000]


def test_a_month_and_day_need_a_word_before_them() -> None:
    for word in words("en", "date_cues"):
        assert dated(f"She was {word} 3/5") == dated(f"{word.upper()}: 3/5") == ["2024-03-05"], word
    assert dated("She was zorble 3/5") == []


# Dates, times and how often: `what it gives = word | word`; the record is of 10 March 2024, a Sunday.

DAYS = {
    "en": """
    2024-03-08 = the day before yesterday | day before yesterday
    2024-03-09 = yesterday | last night | yesterday morning | yesterday afternoon | yesterday evening | last evening
    2024-03-10 = today | this morning | this afternoon | this evening | tonight | earlier today
    2024-03-11 = tomorrow | tomorrow morning | tomorrow afternoon | tomorrow evening
    2024-03-12 = the day after tomorrow | day after tomorrow
    2024-W09 = last week | past week | previous week | this past week
    2024-W10 = this week | current week
    2024-W11 = next week | this coming week | the coming week
    2024-02 = last month
    2023 = last year
    2024-03-04 = last Monday
    2024-03-05 = last Tuesday
    2024-03-06 = last Wednesday
    2024-03-07 = last Thursday
    2024-03-08 = last Friday
    2024-03-09 = last Saturday
    2024-03-03 = last Sunday
    2024-03-11 = next Monday
    2024-01-05 = January 5, 2024 | Jan 5, 2024
    2024-02-05 = February 5, 2024 | Feb 5, 2024
    2024-03-05 = March 5, 2024 | Mar 5, 2024
    2024-04-05 = April 5, 2024 | Apr 5, 2024
    2024-05-05 = May 5, 2024
    2024-06-05 = June 5, 2024 | Jun 5, 2024
    2024-07-05 = July 5, 2024 | Jul 5, 2024
    2024-08-05 = August 5, 2024 | Aug 5, 2024
    2024-09-05 = September 5, 2024 | Sept 5, 2024 | Sep 5, 2024
    2024-10-05 = October 5, 2024 | Oct 5, 2024
    2024-11-05 = November 5, 2024 | Nov 5, 2024
    2024-12-05 = December 5, 2024 | Dec 5, 2024
    12:00 = noon | midday
    00:00 = midnight
    02:00 = 2 am | 2 a.m. | 2 a.m
    14:00 = 2 pm | 2 p.m. | 2 p.m
    """,
    "zh": """
    2024-03-08 = 前天 | 前日
    2024-03-09 = 昨天 | 昨日 | 昨晚 | 昨夜
    2024-03-10 = 今天 | 今日 | 今晨 | 今早 | 今晚
    2024-03-11 = 明天 | 明日 | 明晨 | 明早
    2024-03-12 = 后天
    2024-W09 = 上周
    2024-W10 = 本周
    2024-W11 = 下周
    2024-02 = 上月 | 上个月
    2024-03 = 本月
    2024-04 = 下月 | 下个月
    2023 = 去年
    2024 = 今年
    2025 = 明年
    2024-02-26 = 上周一 | 上星期一
    2024-02-27 = 上周二 | 上星期二
    2024-02-28 = 上周三 | 上星期三
    2024-02-29 = 上周四 | 上星期四
    2024-03-01 = 上周五 | 上星期五
    2024-03-02 = 上周六 | 上星期六
    2024-03-03 = 上周日 | 上周天 | 上星期日 | 上星期天
    2024-03-04 = 本周一
    2024-03-11 = 下周一
    """,
}
NUMBERS = {
    "en": """
    0.5 = half | half a | one-half
    1 = one | a | an
    1.5 = one and a half | one and one-half
    2 = two | a couple of
    2.5 = two and a half | two and one-half
    3.5 = three and a half | three and one-half
    4.5 = four and a half | four and one-half
    5.5 = five and a half | five and one-half
    6.5 = six and a half | six and one-half
    7.5 = seven and a half | seven and one-half
    8.5 = eight and a half | eight and one-half
    9.5 = nine and a half | nine and one-half
    3 = three
    4 = four
    5 = five
    6 = six
    7 = seven
    8 = eight
    9 = nine
    10 = ten
    11 = eleven
    12 = twelve
    14 = fourteen
    15 = fifteen
    20 = twenty
    30 = thirty
    60 = sixty
    90 = ninety
    """,
    "zh": """
    0.5 = 半
    1 = 一
    2 = 二 | 两
    3 = 三
    4 = 四
    5 = 五
    6 = 六
    7 = 七
    8 = 八
    9 = 九
    10 = 十
    17 = 十七
    30 = 三十
    42 = 四十二
    """,
}
PERIODS = {
    "en": """
    PT3M = min | mins | minute | minutes
    PT3H = h | hr | hrs | hour | hours
    P3D = d | day | days
    P3W = wk | wks | week | weeks
    P3M = mo | mos | m.o. | month | months
    P3Y = y | yr | yrs | year | years
    """,
    "zh": """
    PT3M = 分钟
    PT3H = 小时 | 个小时 | 钟头
    P3D = 天
    P3W = 周 | 星期 | 个星期 | 礼拜
    P3M = 个月
    P3Y = 年
    """,
}
# Of five times.
OFTEN = {
    "en": """
    120/day = hourly
    5/day = daily | nightly | a day | per day | each day | every day | a night | per night
    5/week = weekly | a week | per week | each week | every week
    5/month = monthly | a month | per month | each month | every month
    5/year = yearly | annually | a year | per year | each year
    """,
    "zh": """
    5/day = 日 | 天
    5/week = 周
    5/month = 月 | 个月
    5/year = 年
    """,
}


def rows(table: str) -> Iterator[tuple[str, str]]:
    """Give each word of a table, and what it gives."""
    for line in table.strip().splitlines():
        given, some = line.strip().split(" = ")
        yield from ((word, given) for word in words_in(some))


@both
def test_words_for_days_times_months_and_weeks(lang: str) -> None:
    for word, time in rows(DAYS[lang]):
        assert dated(f"seen {word}." if lang == "en" else f"于{word}。", lang) == [time], word


@both
def test_words_for_numbers(lang: str) -> None:
    for word, number in rows(NUMBERS[lang]):
        text = f"{word} weeks ago" if lang == "en" else f"{word}天前"
        assert [(value.text, value.number) for value in values(text, lang)] == [(text, -float(number))]


@both
def test_words_for_periods(lang: str) -> None:
    for word, time in rows(PERIODS[lang]):
        text = f"for 3 {word}" if lang == "en" else f"3{word}"
        assert [(value.kind, value.text, value.time) for value in values(text, lang)] == [("duration", text, time)]


@both
def test_words_for_how_often(lang: str) -> None:
    for word, name in rows(OFTEN[lang]):
        text = f"5 times {word}" if lang == "en" else f"5次/{word}"
        assert [(value.kind, value.text, value.name) for value in values(text, lang)] == [("frequency", text, name)]
    if lang == "en":
        for word, name in (("once", "1/year"), ("twice", "2/year"), ("thrice", "3/year")):
            assert [value.name for value in values(f"{word} yearly")] == [name]


@both
def test_every_word_of_these_lists_is_in_a_table(lang: str) -> None:
    rules = load_rules("values", lang)
    own = {word.lower() for table in (DAYS, NUMBERS, PERIODS, OFTEN) for word, _ in rows(table[lang])}
    lists = [words for name in ("days", "periods", "adverbs") for words in rules[name].values()]
    assert {word for words in lists for word in words} | set(rules["number_words"]) | set(
        rules["clock_words"] if lang == "en" else ()
    ) <= own
    parts = " ".join(own)
    lists = [[*rules["weekdays"]], *rules["months"].values(), *rules["spans"].values()]
    assert [word for words in lists for word in words if word not in parts] == []
