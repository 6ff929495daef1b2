"""Every word of the rules, against what was written down here without them."""

from __future__ import annotations

from typing import Any

import pytest
from snippets import stage

from clinnlp.record import Entity, Record, Value
from clinnlp.stages._values.rules import value_rules
from clinnlp.stages.values import normalize

ENGLISH, CHINESE = value_rules("en"), value_rules("zh")

# Symbol: what one of it is. Words that pint itself can read are tried on pint, the others stand under WORDS.
SYMBOLS = """
kg 1000 g; g 1 g; mg 1e-3 g; µg 1e-6 g; ng 1e-9 g; pg 1e-12 g; lb 453.59237 g; oz 28.349523125 g
L 1 L; dL 0.1 L; mL 1e-3 L; µL 1e-6 L; fL 1e-15 L; tsp 5e-3 L; tbsp 15e-3 L
m 1 m; cm 0.01 m; mm 1e-3 m; µm 1e-6 m; nm 1e-9 m; km 1000 m; in 0.0254 m; ft 0.3048 m; mi 1609.344 m
m² 1 m²; cm² 1e-4 m²; mm² 1e-6 m²; mmHg 1 mmHg; cmH2O 0.735559 mmHg; kPa 7.500616 mmHg
s 1.1574074e-5 day; ms 1.1574074e-8 day; min 6.9444444e-4 day; h 0.041666667 day; day 1 day; week 7 day
month 30.4375 day; year 365.25 day; mol 1 mol; mmol 1e-3 mol; µmol 1e-6 mol; nmol 1e-9 mol; pmol 1e-12 mol
Eq 1 Eq; mEq 1e-3 Eq; Osm 1 Osm; mOsm 1e-3 Osm; U 1 U; mU 1e-3 U; µU 1e-6 U; kU 1e3 U; MU 1e6 U
IU 1 IU; mIU 1e-3 IU; µIU 1e-6 IU; kIU 1e3 IU; kcal 1 kcal; kJ 0.239005736 kcal; % 1 %
cells 1 1; copies 1 1; CFU 1 1; 10^3 1e3 1; 10^6 1e6 1; HPF 1 HPF; pack 1 pack; pack-year 1 pack-year
Gy 1 Gy; cGy 0.01 Gy; HU 1 HU; V 1 V; mV 1e-3 V; W 1 W; Fr 1 Fr; bpm 1 /min; breaths/min 1 /min; Hz 60 /min
mL/min/1.73m² 1 mL/min/1.73m²; kg/m² 1 kg/m²; mg/dL 0.01 g/L; g/dL 10 g/L; pack/day 1 pack/day
mL/day 6.94444444e-7 L/min; g/day 1 g/day; mg/day 1e-3 g/day; mL/min 1e-3 L/min; L/min 1 L/min
10^3/µL 1e9 1/L; 10^6/µL 1e12 1/L; 10^9/L 1e9 1/L; °C 1 °C; °F -17.2222222 °C; 斤 500 g
万U 1e4 U; 万IU 1e4 IU; 10^4/µL 1e10 1/L
"""
WORDS = """
kg = kgs, kilo, kilos, ㎏, 千克, 公斤; g = gm, gms, 克; mg = mgs, mgm, ㎎, 毫克; µg = mcgs, ㎍, 微克; 斤 = 斤
L = 升; mL = mls, cm3, ㏄, 毫升; µL = mm3, cumm, cu mm; tsp = tsp, teaspoon, teaspoons, teaspoonful
tbsp = tbsp, tablespoon, tablespoons, tablespoonful; m = 米; cm = cms, ㎝, 厘米, 公分; mm = mms, ㎜, 毫米
m² = m2, sq m, sq. m, square metre, square metres, meter squared, meters squared, metre squared; cm² = cm2, sqcm, square cm, sq. cm
mL = cubic cm; cm² = centimeter squared, centimeters squared; mm² = mm2, square mm, sq. mm; mmHg = mmhg, mm hg, mm/hg, mm of hg, mm of mercury, torr, 毫米汞柱
cmH2O = cmh2o, cm h2o, cm of water, cmh20; kPa = kpa; week = wk, wks; s = 秒; min = 分钟; mmol = 毫摩尔
°C = degree celsius, degree centigrade, °c, ° c, ℃, deg c, degrees c, degree c, celsius, degrees celsius, deg celsius, centigrade, degrees centigrade, 度, 摄氏度
°F = degree fahrenheit, °f, ° f, ℉, deg f, degrees f, degree f, fahrenheit, degrees fahrenheit
Eq = eq; mEq = meq, meqs, milliequivalent, milliequivalents; Osm = osm; mOsm = mosm, mosmol, mosmols
U = u, unit, units, 单位; mU = mu, milliunit, milliunits; µU = uu, µu, microunit, microunits; kU = ku; MU = million units
IU = iu, ui, iu's, ius, international unit, international units, 国际单位; mIU = miu; µIU = uiu, µiu; kIU = kiu
kcal = calorie, calories; kJ = kj; % = pct, per cent, 个百分点; cells = cell, cells; copies = copy, copies; CFU = cfu, cfus
10^3 = thousand; 10^6 = million; HPF = hpf, high power field, high-power field; pack = pack, packs
pack-year = pack-year, pack-years, pack year, pack years; Gy = gy; cGy = cgy; HU = hu, hounsfield units; mV = mv; Fr = french
bpm = bpm, beats per minute, beats per min, beats/min, beats/minute, beat/min, 次/分, 次/min, 次／分, 次/分钟, 次每分, 次每分钟
breaths/min = breaths per minute, breaths per min, breaths/min, breaths/minute; Hz = hz
mL/min/1.73m² = ml/min/1.73m2, ml/min/1.73 m2, ml/min/1.73m², ml/min/1.73 m², ml/min/1.73m^2, ml/min per 1.73 m2, ml/min per 1.73m2
kg/m² = kg/m2, kg/m², kg/m^2, kg/sq m, kg per m2; mg/dL = mg%, mgs%, mg percent, mg/100 ml; g/dL = g%, gm%
pack/day = ppd, packs per day, pack per day, packs/day, pack/day, packs a day, pack a day
10^3/µL = k/ul, k/µl, k/mcl, k/mm3, k/mm³, k/cumm, th/ul, x10e3/ul, x10^3/ul, thou/ul
10^6/µL = m/ul, m/µl, m/mcl, mil/ul, x10e6/ul, x10^6/ul; 10^9/L = x10^9/l, x10e9/l, giga/l, ×10的9次方/l
mL/day = ml/24h, ml/24 h, ml/24hr, ml/24 hr, ml/24hrs, ml/24 hrs, ml/24 hours, ml/24小时, 毫升/24小时, ml/日, 毫升/日
g/day = g/24h, g/24 h, g/24hr, g/24 hr, g/24hrs, g/24 hrs, g/24 hours, g/24小时, 克/24小时
mg/day = mg/24h, mg/24 h, mg/24hr, mg/24 hr, mg/24hrs, mg/24 hrs, mg/24 hours, mg/24小时, 毫克/24小时
mL/min = ml/分, ml／分, 毫升/分; L/min = l/分, l／分, 升/分
万U = 万单位, 万u; 万IU = 万国际单位, 万iu; 10^4/µL = 万/ul, 万/µl
"""  # noqa: E501
# Of each dimension, what pint calls the unit that values are given in.
IN_PINT = {"g": "g", "L": "L", "m": "m", "m²": "m**2", "mmHg": "mmHg", "day": "day", "mol": "mol", "kcal": "kcal",
           "%": "percent", "Gy": "gray", "V": "V", "W": "W", "/min": "1/min"}  # fmt: skip


def listed(text: str) -> dict[str, str]:
    """Word -> what it is listed under."""
    rows = [row.split(" = ") for line in text.strip().splitlines() for row in line.split("; ")]
    return {word: name for name, words in rows for word in words.split(", ")}


def symbols() -> dict[str, tuple[float, str]]:
    rows = [row.split() for line in SYMBOLS.strip().splitlines() for row in line.split("; ")]
    return {symbol: (float(number), unit) for symbol, number, unit in rows}


def units(rules: dict[str, Any]) -> list[tuple[str, str]]:
    return [(s, word) for group in rules["units"].values() for s, entry in group.items() for word in entry["words"]]


def test_one_of_each_unit_is_what_it_should_be() -> None:
    known = symbols()
    assert set(known) == {symbol for symbol, _ in units(CHINESE)} | {"m", "s", "ms", "V", "W"}
    for symbol, (number, unit) in known.items():
        found = normalize(1, symbol, "zh")
        assert found is not None
        assert found == (pytest.approx(number, rel=1e-6), unit), symbol
    assert normalize(100, "°F") == (pytest.approx(37.7777777778), "°C")
    assert normalize(1e300, "10^6/µL") is None


def test_every_word_of_a_unit_means_what_pint_or_this_page_says() -> None:
    import pint

    registry, by_hand, known, tried = pint.UnitRegistry(), listed(WORDS), symbols(), 0
    for symbol, word in units(CHINESE):
        if word in by_hand:
            assert by_hand[word] == symbol
            continue
        number, unit = known[symbol]
        assert registry.parse_expression(word).to(IN_PINT[unit]).magnitude == pytest.approx(number, rel=1e-6), word
        tried += 1
    assert tried > 100


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_word_of_a_unit_is_found_behind_a_number(lang: str) -> None:
    for symbol, word in units(CHINESE if lang == "zh" else ENGLISH):
        for written in {f"14 {word}", f"14{word}", f"14 {word.upper()}"}:
            record = Record(f"INR {written}, seen")
            stage(lang).process([record])
            if symbol in ("cells", "copies", "CFU", "10^3", "10^6"):
                continue
            assert record.values[0].unit == symbol, written


def test_letters_that_mean_two_units_count_as_they_are_written() -> None:
    found = {}
    for word in ("m", "M", "s", "ms", "C", "F", "Fr", "FR", "V", "W", "c", "f", "v", "w"):
        record = Record(f"BMI 7 {word}.")
        stage("en").process([record])
        found[word] = [value.unit for value in record.values]
    assert found == {
        "m": ["m"], "M": [""], "s": ["s"], "ms": ["ms"], "C": ["°C"], "F": ["°F"], "Fr": ["Fr"], "FR": ["Fr"],
        "V": ["V"], "W": ["W"], "c": [""], "f": [""], "v": [""], "w": [""],
    }  # fmt: skip


FORMS = """
tablet = tablet, tablets, tab, tabs, caplet, caplets, pill, pills, 片; capsule = capsule, capsules, cap, caps, 粒, 胶囊
puff = puff, puffs; spray = spray, sprays, 喷; drop = drop, drops, gtt, gtts, 滴; patch = patch, patches; pill = 丸
suppository = suppository, suppositories, supp; injection = injection, injections; vial = vial, vials, 支, 瓶
ampule = ampule, ampules, ampoule, ampoules, amp, amps; packet = packet, packets, sachet, sachets, 袋, 包
lozenge = lozenge, lozenges, troche, troches; dose = dose, doses; application = application, applications
solution = solution, soln; suspension = suspension, susp; syrup = syrup, elixir; cream = cream; ointment = ointment, oint
gel = gel; lotion = lotion; powder = powder; inhaler = inhaler, mdi, metered-dose inhaler; bolus = bolus
nebulizer = nebulizer, neb, nebs, nebulizers; drip = drip, infusion
"""  # noqa: E501
ROUTES = """
oral = po, p.o., p.o, by mouth, orally, per os, per oral, oral, 口服, 嚼服, 吞服
intravenous = i.v., intravenous, intravenously, ivpb, iv push, ivp, iv, 静脉滴注, 静滴, 静脉注射, 静注, 静脉推注, 静推, 静脉输注
intramuscular = i.m., intramuscular, intramuscularly, im, 肌肉注射, 肌注, 肌内注射
subcutaneous = subcutaneously, subq, sub-q, subcut, s.c., sq, s.q., sc, subcutaneous, 皮下注射
sublingual = sublingually, sublingual, s.l., sl, 舌下含服, 含服; rectal = per rectum, rectally, pr, rectal, p.r., 直肠给药, 塞肛
vaginal = vaginally, per vagina, pv, vaginal; topical = topically, topical, 外用, 外敷, 涂抹; transdermal = transdermally, transdermal
inhaled = by inhalation, inhaled, via inhalation, inh, inhalation, 吸入; nebulized = via nebulizer, by nebulizer, nebulized, 雾化吸入, 雾化
nasal = intranasally, intranasal, each nostril, in each nostril, nasal, nasally, 滴鼻, 喷鼻
ophthalmic = in both eyes, in each eye, ophthalmic, ou, os, od, 滴眼; otic = in both ears, in each ear, otic, au
feeding tube = via ng tube, per ng tube, via peg, per peg, via g-tube, per g-tube, via feeding tube, ng, pgt
buccal = buccally, buccal; intrathecal = intrathecal, intrathecally; epidural = epidural; intradermal = intradermal, intradermally
intraosseous = intraosseous
"""  # noqa: E501
FREQUENCIES = """
1/day = qd, q.d., q.d, once daily, once a day, once per day, q day, qday, q24h, o.d., once-daily, every day, one time a day, one time daily, daily, each day, 每日, 每天
2/day = bid, b.i.d., b.i.d, twice daily, twice a day, two times daily, 2x daily, twice-daily, twice per day, morning and evening
3/day = tid, t.i.d., t.i.d, thrice daily, three times daily; 4/day = qid, q.i.d., q.i.d, four times daily
1/2 days = qod, q.o.d., every other day, every second day, on alternate days, alternate days, 隔日一次, 隔日1次, 隔天一次, 隔日
1/week = qwk, q week, qweek, once weekly, once a week, every week, weekly, 每周
3/week = tiw, t.i.w., three times weekly, three times a week, three times per week
1/month = qmonth, q month, once monthly, once a month, every month, monthly, 每月; 24/day = qh, every hour, q hour, q1h, hourly
every morning = qam, q.a.m., q am, every morning, each morning, in the morning, 每晨, 每早, 晨起
every evening = qpm, q.p.m., q pm, every evening, each evening, in the evening, with supper, with dinner
at bedtime = qhs, q.h.s., q hs, at bedtime, nightly, every night, each night, before bed, before bedtime, every bedtime, hs, h.s., at night, 睡前, 临睡前, 每晚
before meals = before meals, a.c., before each meal, before food, ac, 饭前, 餐前; after meals = after meals, p.c., after food, pc, 饭后, 餐后
with meals = with meals, with food, with each meal, 随餐, 餐中
before meals and at bedtime = ac and hs, achs, ac/hs, qachs, before meals and at bedtime
as needed = prn, p.r.n., as needed, as-needed, when needed, if needed, p.r.n, 必要时, 需要时, 按需; at once = stat, immediately, 立即
once = one time only, single dose, one-time dose, x1 dose, x 1 dose, one dose, once, x1, x 1
continuous = continuous infusion, continuously, continuous
"""  # noqa: E501
A_DAY = {"1/day": 1, "2/day": 2, "3/day": 3, "4/day": 4, "24/day": 24, "1/2 days": 1 / 2, "1/week": 1 / 7,
         "3/week": 3 / 7, "1/month": 12 / 365.25, "every morning": 1, "every evening": 1, "at bedtime": 1,
         "before meals and at bedtime": 4}  # fmt: skip


def behind_a_drug(word: str, lang: str) -> list[Value]:
    record = Record(f"aspirin {word}.", entities=[Entity(0, 7, "Medication")])
    stage(lang).process([record])
    return record.values


@pytest.mark.parametrize(
    ("field", "kind", "table"),
    [("forms", "form", FORMS), ("routes", "route", ROUTES), ("frequencies", "frequency", FREQUENCIES)],
)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_word_about_a_drug_means_what_this_page_says(field: str, kind: str, table: str, lang: str) -> None:
    known = listed(table)
    rules = ENGLISH if lang == "en" else CHINESE
    for name, entry in rules[field].items():
        weak = entry.get("weak", [])
        for word in [*entry["words"], *(weak if isinstance(weak, list) else [])]:
            assert known[word] == name, word
            for written in (word, word.upper()):
                found = behind_a_drug(written, lang)
                texts = [(value.kind, value.text.rstrip("."), value.target_start) for value in found]
                if (kind, word) in (("frequency", "x1"), ("frequency", "x 1")) or kind != "form" or lang == "zh":
                    assert (kind, written.rstrip("."), 0) in texts, word
                assert all(v.name == name for v in found if v.text.rstrip(".") == written.rstrip(".")), word
                assert all(
                    v.number == pytest.approx(A_DAY[name])
                    for v in found
                    if v.kind == kind == "frequency" and name in A_DAY
                )
    if lang == "zh":
        assert set(known) == {
            word
            for entry in rules[field].values()
            for word in [*entry["words"], *(entry["weak"] if isinstance(entry.get("weak"), list) else [])]
        }


COMPARATORS = {
    "<": "<|less than|below|under|fewer than|lower than|小于|低于|少于|不到",
    "<=": "<=|< =|</=|=<|≤|⩽|at most|up to|no more than|not more than|maximum of|less than or equal to|"
    "不超过|不大于|最多|小于等于",
    ">": ">|more than|greater than|above|over|higher than|in excess of|exceeding|大于|高于|超过|多于",
    ">=": ">=|> =|>/=|=>|≥|⩾|at least|no less than|not less than|minimum of|greater than or equal to|"
    "不低于|不小于|至少|大于等于",
    "~": "~|≈|about|approximately|approx|approx.|around|roughly|nearly|almost|circa|ca.|约|大约|近",
}


def test_every_comparator_means_what_this_page_says() -> None:
    assert {sign: set(words) for sign, words in CHINESE["comparators"].items()} == {
        sign: set(words.split("|")) for sign, words in COMPARATORS.items()
    }
    for sign, words in COMPARATORS.items():
        for word in words.split("|"):
            if word == "=>":
                continue  # an arrow, more often
            record = Record(f"crp {word} 5 mg/L")
            stage("zh").process([record])
            assert [(value.comparator, value.text, value.name) for value in record.values] == [
                (sign, f"{word} 5 mg/L", "crp")
            ], word


def test_every_comparator_behind_a_number_is_read() -> None:
    expected = {
        ">=": ["or more", "or greater", "or higher", "or above", "and above", "以上"],
        "<=": ["or less", "or fewer", "or lower", "or below", "and below", "以下"],
        "~": ["左右"],
    }
    assert CHINESE["comparators_after"] == expected
    for sign, words in expected.items():
        for word in words:
            record = Record(f"crp 5 mg/L {word}")
            stage("zh").process([record])
            assert [(value.comparator, value.text) for value in record.values] == [(sign, f"5 mg/L {word}")]


def test_every_word_of_the_rules_is_text() -> None:
    # YAML reads a bare on, off or no as true or false.
    def walk(value: object) -> None:
        if isinstance(value, dict):
            assert not any(isinstance(key, bool) for key in value)
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            assert not any(isinstance(item, bool) for item in value)
            for item in value:
                walk(item)

    walk(CHINESE)
