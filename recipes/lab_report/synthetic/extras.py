"""Makes up what habits add to a report: addresses, signatories, meanings of marks, a conclusion."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from .parts import Extras
from .vocabulary import manners

if TYPE_CHECKING:
    from .content import Composer


def make_extras(composer: Composer, doctor: str, collected: datetime) -> Extras:
    """Addresses, signatories, what marks mean, a conclusion, and the tests that pages without results name."""
    rng, place, words, style = composer.rng, composer.place, composer.words, composer.style
    found = Extras()

    def address() -> list[str]:
        return [rng.choice(place["streets"]).format(n=rng.randrange(1, 240)), rng.choice(place["cities"])]

    number = f"{rng.randrange(10**8, 10**9)}"
    if style.address:
        found.patient_address = [*address(), f"{composer.pick(words['insurance'])} {number[:6]} {number[6:]} "
                                 f"{rng.randrange(10, 99)}"]  # fmt: skip
        found.doctor_address = [*address()]
        if rng.random() < 0.4:
            found.doctor_address.append(f"{composer.pick(words['copy'])}: {composer.doctor()}")
        if rng.random() < 0.4:
            found.doctor_address.append(rng.choice(("", "ID ", "No. ")) + f"{rng.randrange(10**5, 10**8)}")
    if style.foot_block:
        names = []
        surnames = [part for part in place["last"].split() if not part[0].islower()]
        for _ in range(rng.randrange(3, 14)):
            given, last = rng.choice(place["first"].split())[0], rng.choice(surnames)
            title = manners(composer.language).get("doctor", "Dr. {}").format(last)
            names.append((f"{given}. {last}" if not place.get("whole") else last) if rng.random() < 0.8 else title)
        contact = f"{composer.pick(words['contact'])} {place['phone'].format(a=number[:3], b=number[3:7])}"
        site = rng.choice(place["labs"])
        web = place.get("web") or site.split()[-1].lower()
        found.foot = [
            f"{composer.pick(words['greet'])}: {', '.join(dict.fromkeys(names))}.",
            " - ".join([site, *address(), contact]),
            f"{composer.pick(words['money']).format(n=number)} - www.{web}.example",
        ][: rng.randrange(1, 4)]
    fresh = style.fresh or ("<" if "marker" in style.columns.split() and style.edition != "base" else "")
    if fresh:
        found.marks.append(composer.pick(words["fresh"]).format(fresh))
    if style.mark:
        found.marks.append(composer.pick(words["external"]).format(style.mark))
    if rng.random() < style.conclusion:
        found.conclusion = composer.remarks.conclusion()
    if style.blank or style.extra_page:
        composer.panel = None
        chosen = rng.sample([one for panel in composer.panels.values() for one in panel.analytes], rng.randrange(6, 26))
        found.listing = [composer.row(one) for one in chosen]
        day = composer.moment(collected, True)[0]
        found.notice = composer.pick(words["notice"]).format(date=day, n=rng.randrange(2, 15))
    return found
