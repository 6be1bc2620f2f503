"""Makes up what a report says: the laboratory, the patient, the dates and the panels of results."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from .extras import make_extras
from .forms import make_form
from .head import head_field
from .life import LATIN, arranged, changed, named, own_sections
from .parts import Content, Extras, Form, Row, Section
from .remarks import Remarks
from .style import Style
from .values import Printed, Writer
from .vocabulary import (
    PARENTS,
    Analyte,
    Panel,
    choices,
    departments,
    habit_words,
    manners,
    panels,
    phrases,
    place,
)

_MONTHS = {
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "nl": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "es": "ene feb mar abr may jun jul ago sep oct nov dic",
}
_LONG_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
}
_ANTIBIOTICS = ("Amoxicillin", "Ciprofloxacin", "Nitrofurantoin", "Cefuroxim", "Fosfomycin", "Gentamicin")
_DATES = ("%d {} %Y %H:%M", "%Y/%m/%d %H:%M", "%Y-%m-%d %H:%M", "%d {} %Y, %H:%M", "%d.%m.%Y %H:%M")
_LONG_FORMS = {"de": "%d. %B %Y", "es": "%d de %B de %Y"}
_US_DATES = ("%B %d, %Y %H:%M", "%b %d, %Y %I:%M %p", "%Y/%m/%d %H:%M", "%Y-%m-%d %H:%M")
# Words of remarks, in all six languages, that belong to certain panels.
_TOPICS = {
    "(?i)diabet": ("diabetes",),
    "(?i)index:|[ií]ndice ?:|zone|zona|Grenzbereich": ("serology", "immunology"),
    "(?i)deficien|tekort|mangel|carence|carenza": ("vitamins",),
    "(?i)kidney": ("kidney",),
}
_ONSETS = tuple("Vel Tram Kel Or Fil Bran Cor Lus Mer Sal Zan Nep Hex Pol Dral".split(" "))
_MIDDLES = ["o", "a", "i", "e", "oxa", "ata", "ime", "ulo", "ari"]
_ENDS = ["rin", "stin", "tide", "tase", "mine", "globin", "cillin", "kine", "selin", "pextin", "drol"]
_INVENTED_UNITS = "ng/mL;U/L;AU/mL;µg/L;kU/L;mg/dL;nmol/L;pg/mL;Index;%;RLU/mL;µmol/L;mU/g"


def stable_random(*parts: object) -> Random:
    """A generator seeded by the text of `parts`, the same on every machine and in every process."""
    text = "/".join(str(part) for part in parts)
    return Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def _suits(remark: str, key: str, result: str) -> bool:
    """Whether a remark can stand under a result: some speak of one kind of test only."""
    panel = key.split("/")[0]
    for words, wanted in _TOPICS.items():
        if re.search(words, remark):
            return panel in wanted
    return "amox" not in remark.lower() or "coli" in result


def write_date(moment: datetime, pattern: str, language: str) -> str:
    """Print a date; month names and AM/PM do not depend on the machine's locale."""
    manner = manners(language)
    months = (manner.get("months") or _MONTHS.get(language, _MONTHS["en"])).split()
    pattern = pattern.replace("%B", (manner.get("long_months") or _LONG_MONTHS[language]).split()[moment.month - 1])
    pattern = pattern.replace("%b", months[moment.month - 1])
    pattern = pattern.replace("%p", "AM" if moment.hour < 12 else "PM")
    return moment.strftime(pattern)


class Composer:
    """Composes the Content of one report from a style."""

    def __init__(self, style: Style, rng: Random, max_rows: int | None):
        self.style, self.rng, self.max_rows = style, rng, max_rows
        self.place = place(style.locale)
        self.language: str = self.place["language"]
        self.words = phrases(self.language, style.edition)
        self.panels = panels(style.edition, self.language)
        self.writer = Writer(style, self.language, self.place, self.words, rng)
        self.remarks = Remarks(self.writer, self.words, rng)
        self.wide = style.edition != "base"
        self.more = Random(rng.getrandbits(64)) if self.wide else rng  # what habits add leaves the rest as it is
        self.pattern: str = rng.choice(self.place["dates"])
        if self.wide and rng.random() < 0.2:
            more = manners(self.language).get("dates") or _DATES
            self.pattern = rng.choice(_US_DATES if style.locale == "en-US" else more)
            self.pattern = self.pattern.replace("%d {} %Y", _LONG_FORMS.get(self.language, "%d %B %Y"))
        if style.locale != "en-US" and rng.random() < 0.08:
            self.pattern = "%Y-%m-%d %H:%M"
        if style.seconds and "%M" in self.pattern:
            self.pattern = self.pattern.replace("%M", "%M:%S") if "h%M" not in self.pattern else self.pattern
        self.collected = datetime(2017, 1, 3)
        self.panel: Panel | None = None
        self.dates: list[str] = []
        if self.wide:
            self.second = self.more.choice([one for one in LATIN if one != self.language])
            self.joint = self.more.choice((" / ", " / ", "/", " - ", " | "))
            codes = ("01", "02", "03") if style.edition == "train" else ("A", "B", "R", "X7")
            self.lab_codes = self.more.sample(codes, 2)
        self.specimens = {key: rng.choice(choices(text)) for key, text in self.words["specimens"].items()}
        self.count = 0

    def pick(self, text: str) -> str:
        """One of the alternatives of a phrase."""
        return self.rng.choice(choices(text))

    def moment(self, moment: datetime, day_only: bool = False) -> tuple[str, str]:
        """A date as printed and normalised ("DD-MM-YYYY HH:MM:SS", or the day alone)."""
        if day_only:
            day = self.pattern
            for cut in (" %I:%M:%S %p", " %I:%M %p", " ore %H:%M", " à %Hh%M", ", %H:%M Uhr", ", %H:%M",
                        " %H:%M:%S", " %H:%M", " ore", " à", ":%S", " Uhr", ",", " -"):  # fmt: skip
                day = day.removesuffix(cut)
            return write_date(moment, day, self.language), moment.strftime("%d-%m-%Y")
        if "%S" not in self.pattern:
            moment = moment.replace(second=0)
        return write_date(moment, self.pattern, self.language), moment.strftime("%d-%m-%Y %H:%M:%S")

    def compose(self) -> Content:
        """Draw everything the report says."""
        rng, style, words, place = self.rng, self.style, self.words, self.place
        labels = words["labels"]
        collected = datetime(2017, 1, 3) + timedelta(
            days=rng.randrange(2900),
            hours=rng.randrange(6, 20),
            minutes=rng.randrange(60),
            seconds=rng.randrange(60),
        )
        self.collected = collected
        taken = self.moment(collected, style.time == "date")
        received = collected + timedelta(minutes=rng.randrange(25, 300))
        reported = received + timedelta(hours=rng.randrange(1, 60), minutes=rng.randrange(60))
        birth = collected - timedelta(days=rng.randrange(400, 33000))
        if self.wide and self.language == "en" and birth.day < 13:
            birth += timedelta(days=13)  # so that the page tells whether days or months come first
        male = rng.random() < 0.5
        doctor = self.doctor()
        years = (collected - birth).days // 365
        digits = f"{rng.randrange(10**8, 10**9)}"
        ref = rng.choice(
            [
                digits[:7],
                f"{collected:%y%m%d}-{digits[:4]}",
                rng.choice("ABHLMX") + digits[:6],
                f"{digits[:3]}.{digits[3:6]}.{digits[6:]}",
            ]
        )
        day = self.moment(birth, True)[0]
        fields = [
            ("patient", self.pick(labels["patient"]), self.person()),
            ("birth", self.pick(labels["birth"]), day),
            ("sex", self.pick(labels["sex"]), self.pick(words["words"]["male" if male else "female"])),
            ("age", self.pick(labels["age"]), f"{years} {self.pick(words['words']['years'])}"),
            (
                "id",
                rng.choice([text for text in choices(labels["id"]) if self.usual(text)]),
                f"{rng.randrange(10**6, 10**9)}",
            ),
            ("ref", self.pick(labels["ref"]), ref),
            ("doctor", self.pick(labels["doctor"]), doctor),
            ("ward", self.pick(labels["ward"]), f"{rng.choice('ABCDEK')}{rng.randrange(1, 60):02d}"),
            ("ordered", self.pick(labels["ordered"]), self.moment(collected - timedelta(hours=20), True)[0]),
            ("collected", self.pick(labels["collected"]), taken[0]),
            ("received", self.pick(labels["received"]), self.moment(received)[0]),
            ("reported", self.pick(labels["reported"]), self.moment(reported)[0]),
        ]
        values = {kind: value for kind, _, value in fields}
        drop = {kind for kind in ("age", "sex", "ward", "ordered", "received", "id") if rng.random() < 0.3}
        if style.time not in ("report", "date"):
            drop.add("collected")
        fields = [entry for entry in fields if entry[0] not in drop]
        if rng.random() < 0.25:  # some labs put the dates in front
            fields.sort(key=lambda entry: entry[0] not in ("patient", "ordered", "collected", "received"))
        sections = [] if style.blank or rng.random() < style.empty else self.sections(collected)
        if style.specimen == "report":
            fields.append(("specimen", self.pick(labels["specimen"]), self.common_specimen(sections)))
        columns = {key: self.pick(text) for key, text in words["columns"].items()}
        if style.title_case:
            columns = {key: getattr(text, style.title_case)() for key, text in columns.items()}
        number = f"{rng.randrange(100, 999)}-MED"
        foot = [self.pick(words["foot"]).format(doctor=doctor, n=number) for _ in range(2)]
        legend = self.flag_legend()
        legend += rng.sample(choices(words["plain_legend"]), 2)
        address = [rng.choice(place["streets"]).format(n=rng.randrange(1, 240)), rng.choice(place["cities"])]
        phone = place["phone"].format(a=rng.randrange(200, 900), b=f"{rng.randrange(1000, 9999)}")
        address.append(rng.choice(manners(self.language).get("phone") or ["Tel. ", "T ", "Tel: "]) + phone)
        earlier = [collected - timedelta(days=rng.randrange(30, 500) * (i + 1)) for i in range(2)]
        range_form = self.pick(words["range_label"]) if style.range_below else "{}"
        lab, headline, status = rng.choice(place["labs"]), self.pick(words["headline"]), self.pick(words["statuses"])
        form: Form = []
        code = None
        if style.patient == "form":
            values["status"] = status
            values |= {kind: value for kind, _, value in fields if kind == "specimen"}
            values |= {} if style.time in ("report", "date") else {"collected": ""}
            values = {kind: value for kind, value in values.items() if value}
            form = make_form(self, values, self.moment(reported + timedelta(hours=self.more.randrange(1, 90)))[0])
            if self.more.random() < style.form_code:
                code = (values["ref"], head_field("ref", ""))
        return Content(
            words, place, columns, lab, address, headline,
            status, doctor, fields, taken, self.moment(collected, True)[0],
            [self.moment(moment, True)[0] for moment in earlier], sections, list(dict.fromkeys(foot)), legend,
            list(choices(words["letter"])), self.pick(words["words"]["page"]),
            self.pick(words["words"]["continued"]), self.pick(words["words"]["method"]), range_form,
            rng.choice((" ({})", " - {}", ": {}", ", {}")) if self.wide else " ({})",
            self.pick(labels["specimen"]), self.pick(labels["collected"]), self.pick(words["no_tests"]),
            self.pick(words["clinical"]) if rng.random() < style.clinical else "",
            {key: rng.random() for key in ("watermark", "barcode", "cover", "appendix", "tint")},
            self.extras(doctor, collected, columns) if self.wide else Extras(), form, code, self.writer.decimal,
            self.dates,
        )  # fmt: skip

    def day(self, days: int) -> datetime:
        """So many days after sampling."""
        return self.collected + timedelta(days=days)

    def extras(self, doctor: str, collected: datetime, columns: dict[str, str]) -> Extras:
        """What habits add around the results, and the titles of their columns."""
        found, words, style = (
            make_extras(self, doctor, collected),
            habit_words(self.language, self.style.edition),
            self.style,
        )
        if words is None:
            return found
        columns["low"], columns["high"] = self.more.choice(choices(words["ends"])).split("|")
        columns["lab"] = self.more.choice(choices(words["lab_title"]))
        columns["group"] = self.more.choice((*choices(words["group_title"]), "", ""))
        if style.wide:
            titles = self.more.choice(choices(words["wide_titles"])).split("|")
            columns |= dict(zip(("name", "result", "previous", "unit", "range", "lab"), titles, strict=True))
        if style.wide:
            found.lab = self.lab_codes[0]
        if style.labs or style.wide:
            labs = self.more.sample(self.place["labs"], min(2, len(self.place["labs"])))
            found.marks += [words["lab_note"].format(code=code, lab=lab)
                            for code, lab in zip(self.lab_codes, labs, strict=False)]  # fmt: skip
        return found

    def flag_legend(self) -> list[str]:
        """What the flags mean, from the phrases that speak of the flags this report has."""
        sign = {"HL": "[A-Z](:| -|, *[A-Z]| =)", "bracket": "[A-Z](:| -| =)", "pm": r"\+", "star": r"\*"}
        wanted = sign.get(self.style.flag, "$^")
        fitting = [text for text in choices(self.words["legend"]) if re.search(wanted, text)]
        return [self.rng.choice(fitting)] if fitting else []

    def usual(self, label: str) -> bool:
        """Whether a label is used in the locale's country."""
        only = {"NHS No.": "en-GB", "UHID": "en-IN", "INSZ": "nl-BE", "MRN": "en-US"}
        return only.get(label, self.style.locale) == self.style.locale

    def doctor(self) -> str:
        """An invented doctor's name, without "Mrs." in it."""
        form: str = manners(self.language).get("doctor", "Dr. {}")
        return form.format(self.person().split(". ")[-1])

    def person(self) -> str:
        """An invented person's name in the locale's manner."""
        rng, first, last = self.rng, self.place["first"].split(), self.place["last"].split()
        given = rng.choice(first).replace(".", ". ")
        family_name = rng.choice([part for part in last if not part[0].islower()])
        if form := manners(self.language).get("person"):
            return str(form).format(given=given, family=family_name)
        if rng.random() < 0.35 and "." not in given:
            return f"{family_name.upper()}, {given}" if rng.random() < 0.5 else f"{family_name} {given}"
        return f"{given} {family_name}"

    def common_specimen(self, sections: list[Section]) -> str:
        """One specimen for a report that names it once."""
        name = sections[0].specimen if sections else self.specimens["serum"]
        for section in sections:
            section.specimen = name
            for row in section.rows:
                row.specimen = name
        return name

    def sections(self, collected: datetime) -> list[Section]:
        """Choose panels and rows until the wanted number of rows is reached."""
        rng, style = self.rng, self.style
        wanted = max(1, round(style.rows * rng.uniform(0.6, 1.4)))
        limit = min(wanted, self.max_rows) if self.max_rows is not None else wanted
        keys = self.panel_keys()
        department = self.departments()
        titles = {key: rng.choice(panel.titles[self.language]) for key, panel in self.panels.items()}
        found: list[Section] = []
        several = style.fluids and rng.random() < style.fluids and "ascites" in department
        fluids = self.fluids(collected, limit) if several else []
        own = own_sections(self, limit) if self.wide else []
        label_times = style.time in ("section", "column")
        for key in keys:
            if self.count >= limit:
                break
            if style.hollow and found and rng.random() < style.hollow:
                empty = self.panels[rng.choice(list(self.panels))]
                outer = [department[empty.key]] if style.nested and empty.key in department else []
                headings = [*outer, titles[empty.key]]
                note = self.pick(self.words["no_tests"])
                found.append(Section(headings, self.specimens[empty.specimen], self.moment(collected), [], note=note))
            panel = self.panels[key]
            headings = [titles[key]]
            if PARENTS.get(key) in titles and (style.nested or found):
                headings = [titles[PARENTS[key]], titles[key]]
            elif style.nested and key in department:
                headings = [department[key], titles[key]]
            moment = collected + timedelta(minutes=rng.choice((0, 0, 0, 15, 60, 190)) if label_times else 0)
            taken = self.moment(moment)
            section = Section(headings, self.specimens[panel.specimen], taken, [])
            self.fill(section, panel, limit)
            if section.rows:
                if style.trailer and rng.random() < style.trailer:
                    doctor, lab = self.doctor(), rng.choice(self.place["labs"])
                    date = self.moment(collected + timedelta(hours=rng.randrange(2, 50)))[0]
                    section.trailer = self.pick(self.words["trailer"]).format(doctor=doctor, lab=lab, date=date)
                if rng.random() < style.notes:
                    section.note = self.pick(self.words["long"])
                found.append(section)
                if style.tail and key in PARENTS and rng.random() < style.tail:
                    found += self.tail(section, PARENTS[key], limit)
        found += fluids
        if self.wide:
            if own:
                place = self.more.randrange(len(found) + 1)
                # A section that goes on under a heading stays behind it.
                while place < len(found) and found[place].silent:
                    place += 1
                found[place:place] = own
            found = arranged(self, found, self.max_rows or 1_000)
        if style.specimen == "outer":
            order = list(dict.fromkeys(section.specimen for section in found))
            found.sort(key=lambda section: order.index(section.specimen))
        for index, row in enumerate(row for section in found for row in section.rows):
            row.index = index
        return found

    def tail(self, inner: Section, key: str, limit: int) -> list[Section]:
        """One or two rows of the outer panel after an inner one, told apart by their indent alone."""
        if not self.style.indent or self.style.specimen == "outer" or len(inner.headings) < 2 or self.count >= limit:
            return []
        section = Section(inner.headings[:-1], inner.specimen, inner.collected, [], silent=True)
        self.fill(section, self.panels[key], min(limit, self.count + self.rng.choice((1, 1, 2))))
        return [section]

    def fluids(self, collected: datetime, limit: int) -> list[Section]:
        """The same tests of several body fluids, each fluid a heading."""
        rng, words = self.rng, self.words
        outer = self.departments()["ascites"]
        names = ["ascites", "pleural", "pericardial", "csf", "synovial", "urine"]
        panel = self.panels[rng.choice(("pleural", "csf", "ascites"))]
        chosen = rng.sample(panel.analytes, min(len(panel.analytes), rng.choice((1, 1, 2, 3))))
        lang = self.language  # a report calls a test by one name
        analytes = tuple(replace(one, names={lang: (rng.choice(one.names[lang]),)}) for one in chosen)
        found = []
        for name in rng.sample(names, rng.randrange(2, 5)):
            if self.count >= limit:
                break
            specimen = rng.choice(choices(words["specimens"][name]))
            section = Section([outer, specimen], specimen, self.moment(collected), [], fluid=True)
            self.fill(section, replace(panel, analytes=analytes), limit, whole=True)
            found.append(section)
        return found

    def departments(self) -> dict[str, str]:
        """The department that each panel is printed under."""
        return departments(self.language)

    def panel_keys(self) -> list[str]:
        """Panels in the order printed, as the family's contents ask for."""
        rng = self.rng
        every = list(self.panels)
        usual = "haematology differential absolute electrolytes kidney liver lipids diabetes inflammation iron thyroid"
        general = [*usual.split(), "vitamins", "enzymes", "coagulation", "urinalysis"]
        pools = {
            "general": general + rng.sample(every, 3),
            "large": every,
            "few": every,
            "urine": ["urinalysis", "urine_sediment", "urine_chemistry", "kidney", "microbiology"],
            "fluids": ["diabetes", "ascites", "csf", "urine_chemistry", "liver", "blood_gas", "stool"],
            "infection": ["serology", "microbiology", "viral_load", "stool", "inflammation", "blood_bank"],
            "hormones": ["thyroid", "hormones", "vitamins", "tumour", "drugs", "immunology"],
            "uniform": ["electrolytes", "differential", "lipids", "liver", "blood_gas", "coagulation"],
        }
        if self.wide:
            self.widen(pools, every)
        pool = [key for key in dict.fromkeys(pools[self.style.contents]) if key in self.panels]
        if self.wide and self.style.contents != "large" and rng.random() < 0.7:
            # Else the first panels of the table would be in nearly every report and the last ones in none.
            pool = rng.sample(pool, min(len(pool), max(1, self.style.rows // 5 + rng.randrange(3))))
            return sorted(pool, key=every.index) if rng.random() < 0.7 else pool
        if rng.random() < 0.75:  # most labs have a fixed order of panels, a few none
            kept = set(rng.sample(pool, len(pool) if self.style.contents == "large" else max(1, len(pool) * 2 // 3)))
            pool = sorted(kept, key=every.index)
            if self.style.contents == "few":
                rng.shuffle(pool)
        else:
            rng.shuffle(pool)
        return pool

    def widen(self, pools: dict[str, list[str]], every: list[str]) -> None:
        """Add the panels of the larger vocabulary to the pools."""
        more = {
            "general": " ".join(self.rng.sample(every, 8)),
            "urine": "culture toxicology sti catecholamines",
            "fluids": "pleural synovial semen culture",
            "infection": "serology_viral serology_bacterial hepatitis sti respiratory enteric tb culture "
            "microbes_resistance culture",
            "hormones": "fertility adrenal bone steroids drug_levels prenatal autoimmunity complement allergens foods",
            "uniform": "amino_acids trace_elements lymphocytes haemoglobins electrophoresis",
        }
        for name, keys in more.items():
            pools[name] = [*pools[name], *(key for key in keys.split() if key in every)]

    def fill(self, section: Section, panel: Panel, limit: int, whole: bool = False) -> None:
        """Add rows of one panel, or of a part of it, to its section."""
        rng, style = self.rng, self.style
        self.panel = panel
        share = 1.0 if whole else rng.choice((1.0, 1.0, 0.7, 0.5)) if style.contents != "few" else 0.3
        count = max(1, min(round(len(panel.analytes) * share), limit - self.count))
        chosen = sorted(rng.sample(range(len(panel.analytes)), count))
        method = rng.choice(panel.methods)
        for position in chosen:
            row = self.invented() if rng.random() < style.invented else self.row(panel.analytes[position])
            row.method = method if rng.random() < 0.6 else rng.choice(panel.methods)
            if rng.random() < 0.12:
                row.method = None
            row.specimen = section.specimen
            row.collected = section.collected[0]
            section.rows.append(row)
            self.count += 1
        if style.unit_place == "header":
            units = [row.printed.unit for row in section.rows if row.printed.unit and not row.printed.pending]
            section.unit = max(dict.fromkeys(units), key=units.count) if units else None
            kept = [row for row in section.rows if row.printed.unit == section.unit]
            self.count -= len(section.rows) - len(kept)
            section.rows = kept

    def row(self, analyte: Analyte) -> Row:
        """One analyte with a result."""
        names = analyte.names[self.language]
        name = self.rng.choice(names)
        others = [other for other in names if other != name and "(" not in other + name]
        if self.style.aliases and others and self.rng.random() < self.style.aliases:
            name = f"{name} ({self.rng.choice(others)})"
        if self.wide:
            name = named(self, name, analyte)
        return self.finish(name, self.writer.draw(analyte.quantities), analyte.key)

    def invented(self) -> Row:
        """An analyte that no laboratory has, so that a model learns to copy instead of to recite."""
        rng, writer = self.rng, self.writer
        stem = rng.choice(_ONSETS) + rng.choice(_MIDDLES) + rng.choice(_ENDS)
        forms = ("{}", "{} IgG", "Anti-{}", "{} B{n}", "{} ({a}{n})", "{}-{n}", "hs-{}", "{a}{n}-{}")
        name = rng.choice(forms).format(stem, n=rng.randrange(1, 30), a=rng.choice("ABCDKX"))
        unit = rng.choice(choices(_INVENTED_UNITS))
        decimals = rng.choice((0, 1, 1, 2))
        high = round(10 ** rng.uniform(0.2, 2.8), decimals) + 1
        low = rng.choice((None, round(high * rng.uniform(0.2, 0.7), decimals)))
        if unit == "%":
            high, low = min(high, 95.0), None
        from_range = writer.invent(unit, low, high, decimals)
        return self.finish(name, from_range, name)

    def finish(self, name: str, printed: Printed, key: str) -> Row:
        """Give a row its code, marks, comments and, now and then, no result yet."""
        rng, style = self.rng, self.style
        if rng.random() < style.pending:
            printed.result, printed.pending, printed.level = self.pick(self.words["pending"]), True, 0
            if style.pending_bare:
                printed.unit, printed.range_lines, printed.ends = None, [], None
        if "\n" in printed.result and not (style.words_below and style.layout == "table"):
            printed.result = printed.result.replace("\n", ", ")
        if style.bare_words and not printed.unit and not any(char.isdigit() for char in printed.result):
            printed.range_lines = []
        if style.name_case == "upper":
            name = name.upper()
        digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
        code = f"{digest % 89999 + 1000}-{digest % 9}" if self.language != "de" else f"{digest % 8999 + 1000}"
        if style.codes == "digits":
            code = f"{digest % 899999 + 100000}"
        row = Row(0, name, printed, code=code)
        if "tariff" in style.columns.split() or style.blank or style.extra_page:
            row.tariff = rng.choice(
                (f"B {digest % 90 * 5 + 15}", f"{digest % 90 + 2}{self.writer.decimal}{digest % 9}0")
            )
        row.mark = style.mark if style.mark and rng.random() < 0.25 else ""
        row.below = not self.wide or rng.random() < 0.6
        row.marker = rng.choice(("<", "<", "@", "")) if rng.random() < 0.6 else ""
        if rng.random() < style.comments:
            # Remarks with figures in them belong to results that are figures.
            remarks = [text for text in choices(self.words["comments"]) if _suits(text, key, printed.result)]
            numeric = printed.result[-1:].isdigit() and not printed.pending
            plain = [text for text in remarks if not any(char.isdigit() for char in text)]
            row.comments = [rng.choice(remarks if numeric else plain)]
        if self.wide:
            self.remark(row, key.split("/")[0])
            changed(self, row)
        elif re.search("coli|aureus", printed.result) and not printed.pending:
            drugs = rng.sample(_ANTIBIOTICS, rng.randrange(2, 5))
            row.comments = [f"{drug}   {rng.choice('SSSRRI')}" for drug in drugs]
        return row

    def remark(self, row: Row, panel: str) -> None:
        """Put the longer remarks under a result that habits ask for."""
        rng, style, printed = self.rng, self.style, row.printed
        drugs = [] if printed.pending else self.remarks.antibiogram(printed.result)
        if drugs and style.layout not in ("gauge", "matrix"):
            row.comments = drugs
        elif style.remarks and rng.random() < min(style.remarks, 8 / style.rows):
            row.comments = self.remarks.for_result(printed, panel) + row.comments
        if row.comments and rng.random() < 0.15:
            plain = [text for text in choices(self.words["comments"]) if not any(char.isdigit() for char in text)]
            row.comments.append(self.remarks.paragraph(plain))
