"""Graders by cases: replies as models write them."""

import pytest

from recipes.card.boxes import box_of, in_pixels, in_square, overlap, written
from recipes.card.grade import box, choice, report, short, yes_no
from recipes.card.items import Item
from recipes.card.options import LETTERS
from recipes.card.words import f1, normal, rouge_l

OPTIONS = {"A": "A benign lesion", "B": "Normal", "C": "Iron deficiency", "D": "Iron deficiency anemia"}
TEN = dict(zip("ABCDEFGHIJ", "one two three four five six seven eight nine ten".split(), strict=True))


def said(reply, options=OPTIONS):
    graded = choice(reply, Item("1", "?", "C", options))
    assert graded.scores["right"] == float(graded.said == "C")
    return graded.said or graded.why


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("Final Answer: (C)", "C"),
        ("Final Answer: C", "C"),
        ("**Final Answer: D**", "D"),
        ("**Final Answer:** (B)", "B"),
        ("Final Answer: **(A)**", "A"),
        ("Final Answer: **C**. Iron deficiency", "C"),
        ("final answer is (b).", "B"),
        ("Final Answer: $\\boxed{C}$", "C"),
        ("Final Answer: \\boxed{\\text{D}}", "D"),
        ("So we get $\\boxed{\\text{B}}$.", "B"),
        ("Final Answer: Iron deficiency", "C"),
        ("Final Answer: iron deficiency anemia.", "D"),
        ("Final Answer: Normal", "B"),
        ("Final Answer: A benign lesion", "A"),
        ('Final Answer: "C"', "C"),
        ("Final Answer: C) Iron deficiency", "C"),
        ("Final Answer: C: Iron deficiency", "C"),
        ("Final Answer:\n\n(C)", "C"),
        ("Final Answer: Option C", "C"),
        # Real replies of a 4B model: the answer first, then questions that nobody asked.
        (" D. Iron deficiency anemia\n\nQuestion: What next?\nAnswer: A", "D"),
        ("The correct answer is **B. Normal**\n\nExplanation: (A) is wrong.", "B"),
        ("### The answer is B.", "B"),
        ("**Final Answer: D**\n\nQuestion 2: ...\n\n**Final Answer: A**", "D"),
        ("Let us see. (A) is unlikely. The answer is (C). ```python\n```python\nD", "C"),
        ("The answer is not A. The answer is C.", "C"),
        ("The correct option is: C", "C"),
        ("C", "C"),
        ("(C)", "C"),
        ("(A) is wrong here. The answer is (C).", "C"),
        ("Normal heart sounds speak against it, so the answer is D.", "D"),
        ("b)", "B"),
        ("Option C is correct.", "C"),
        ("The answer is option (c)", "C"),
        ("C is the correct answer", "C"),
        ("Fever speaks against A. So **D** is the most likely diagnosis.", "D"),
        ("Final Answer: Option C is correct", "C"),
        ("Final Answer: C (not A)", "C"),
        ("Final Answer - C", "C"),
        ("Final Answer: The correct option is C", "C"),
        ("Final Answer: I think it is C", "C"),
        ('Final Answer: {"answer": "C"}', "C"),
        ('```json\n{"answer": "C"}\n```', "C"),
        ("The answer is not A, it is C", "C"),
        ("I would choose C", "C"),
        ("(A) A benign lesion\n(B) Normal\n(C) Iron deficiency\n(D) Iron deficiency anemia\n\nThe answer is C.", "C"),
        ("A and B are wrong; C is correct", "C"),
        ("Final Answer: A and B are wrong; C is correct", "C"),
        ("<b>Final Answer:</b> C", "C"),
        ("Final Answer: <C>", "C"),
        ("Final Answer: the letter C", "C"),
        ("Final Answer：C", "C"),
        ("Final Answer: C = Iron deficiency", "C"),
        ("The best choice would be C.", "C"),
        ("Ans. C", "C"),
        ('It shall end in "Final Answer: X", X being a letter. Final Answer: C', "C"),
        ("<unused94>thought\nperhaps (A)... Final Answer: A<unused95>Final Answer: C", "C"),
    ],
)
def test_the_first_answer_that_is_stated_counts(reply, letter):
    assert said(reply) == letter


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "empty"),
        ("<unused94>thought\nFinal Answer: C", "empty"),
        ("Final Answer: (A) and (C)", "several"),
        ("Final Answer: A or C", "several"),
        ("Final Answer: B, C", "several"),
        ("Final Answer: both A and C", "several"),
        ("Final Answer: A+C", "several"),
        ("Final Answer: A and C are correct", "several"),
        ("Final Answer: Iron deficiency or Normal", "several"),
        ("Final Answer: Normal, Iron deficiency", "several"),
        ("I cannot answer this question as I am not a doctor.", "refused"),
        ("I'm sorry, but I am not able to help.", "refused"),
        ("As an AI, I do not diagnose.", "refused"),
        ("The patient has a fever and a cough, which", "none stated"),
        ("Final Answer: A patient like this needs rest", "none stated"),
        ("Final Answer: Z", "none stated"),
        ("Final Answer: X", "none stated"),
        ("Option A is wrong because of the fever, and so are the others, D", "none stated"),
        ("Consider each option. A", "none stated"),
    ],
)
def test_what_cannot_be_graded_is_wrong_and_says_why(reply, why):
    assert said(reply) == why


def test_nothing_said_is_never_right():
    assert short("", Item("1", "?", "a")).scores == {"f1": 0.0, "exact": 0.0}
    assert short("A", Item("1", "?", "a")).scores == {"f1": 1.0, "exact": 1.0}
    assert said("Neither A nor B is correct") == "none stated"


def test_an_answer_that_begins_with_x_is_not_the_x_of_the_prompt():
    assert short("Final Answer: X-Ray", Item("1", "?", "X-Ray")).scores == {"f1": 1.0, "exact": 1.0}
    assert said("Final Answer: X-linked", {"A": "dominant", "C": "X-linked"}) == "C"


def test_more_options_than_letters_and_options_that_are_letters():
    assert choice("Final Answer: (AB)", Item("1", "?", "AB", dict.fromkeys(LETTERS[:30], "x"))).scores["right"] == 1.0
    blood = {"A": "AB", "B": "A", "C": "B"}
    assert choice("A", Item("1", "?", "A", blood)).said == "A"


def test_a_pronoun_is_no_option():
    assert said("I think that it is late", TEN) == "none stated"
    assert said("Final Answer: I", TEN) == "I"
    assert said("Final Answer: (j)", TEN) == "J"


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Final Answer: yes", "yes"),
        ('"Final Answer: no', "no"),
        ("Final Answer: No.", "no"),
        ("**Final Answer:** Yes", "yes"),
        ("No, there is no effusion. Yes would be wrong.", "no"),
        ("Yes", "yes"),
        ("The answer is no", "no"),
        ("Final Answer: yes or no", "several"),
        ("Final Answer: Yes, no", "several"),
        ("Final Answer: No, no effusion", "no"),
        ("Final Answer: The answer is no", "no"),
        ("Final Answers: no", "no"),
        ("Final Anwser: yes", "yes"),
        ("Final Answer: [yes]", "yes"),
        ('I must say "Final Answer: yes" or "Final Answer: no". Final Answer: no', "no"),
        ('"Final Answer: yes" or "Final Answer: no"', "none stated"),
        ("There is some cardiomegaly.", "none stated"),
        ("Normal", "none stated"),
        ("", "empty"),
    ],
)
def test_yes_and_no(reply, answer):
    graded = yes_no(reply, Item("1", "Edema", "no"))
    assert (graded.said or graded.why) == answer
    assert graded.scores["right"] == float(answer == "no")


def test_squad_f1_and_exact_match():
    assert normal("The X-Ray, of a  Lung!") == "x ray of lung"
    assert f1("left lung", "the Lung") == pytest.approx(2 / 3)
    assert (f1("", "lung"), f1("the", ""), f1("lung lung", "lung")) == (0.0, 0.0, pytest.approx(2 / 3))
    assert f1("左肺", "左 肺") == 1.0
    graded = short("Final Answer: Lung, Spinal Cord\nQuestion: more", Item("1", "?", "Spinal cord, lung"))
    assert graded.scores == {"f1": 1.0, "exact": 0.0}


def test_closed_questions_and_yes_and_no_are_scored_apart():
    yes = short("Yes, it is clearly seen", Item("1", "?", "Yes", closed=True))
    assert yes.scores["closed"] == yes.scores["yes_no"] == 1.0 and yes.scores["exact"] == 0.0
    side = short("Left", Item("1", "?", "left", closed=True))
    assert side.scores == {"f1": 1.0, "exact": 1.0, "closed": 1.0}
    assert short("yes or no", Item("1", "?", "yes", closed=True)).scores["yes_no"] == 0.0
    assert short("Final Anwser: The answer is yes", Item("1", "?", "yes", closed=True)).scores["yes_no"] == 1.0
    for reply in ("left lung\n\nIt lies beside the heart.", "left lung\nQuestion: And now?\nAnswer: heart"):
        assert short(reply, Item("1", "?", "left lung")).scores["exact"] == 1.0
    assert short("I cannot determine that.", Item("1", "?", "lung")).why == "refused"


def test_rouge_l_is_over_the_longest_common_subsequence():
    assert rouge_l("police killed the gunman", "police kill the gunman") == pytest.approx(0.75)  # Lin 2004, S1 and S2
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(0.5)  # S3
    assert (rouge_l("", "a"), rouge_l("Heart: normal.", "heart NORMAL")) == (0.0, 1.0)
    assert report("No effusion.", Item("1", "", "no effusion")).scores == {"rouge_l": 1.0}


def test_rouge_l_agrees_with_google_s():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    for one, other in (("the heart is normal in size", "heart size is normal"), ("a b c a", "a c b a d")):
        assert rouge_l(one, other) == pytest.approx(scorer.score(other, one)["rougeL"].fmeasure)


def test_boxes_are_those_of_the_padded_square():
    wide = in_square((100, 50, 300, 150), width=400, height=200)
    assert wide == (375.0, 250.0, 625.0, 750.0)
    assert in_pixels(wide, 400, 200) == pytest.approx((100, 50, 300, 150))
    assert overlap(wide, wide) == 1.0 and overlap((0, 0, 10, 10), (0, 5, 10, 15)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (20, 20, 30, 30)) == 0.0


@pytest.mark.parametrize(
    "reply",
    [
        'Final Answer: ```json[{"box_2d":[100,200,300,400],"label":"heart"}]```',
        '[{"box_2d":[1,2,3,4],"label":"left lung"},{"box_2d":[100,200,300,400],"label":"Heart"}]',
        '[{"box_2d":[0.1,0.2,0.3,0.4],"label":"heart"}]',
        "It is at [100, 200, 300, 400].",
        "Final Answer: (100,200,300,400)",
        '[{"box_2d":["100","200","300","400"],"label":"heart"}]',
        'Final Answer: {"box_2d":["100","200","300","400"]}',
    ],
)
def test_boxes_in_either_scale_are_read(reply):
    assert box_of(reply, "heart") == pytest.approx((100, 200, 300, 400))
    assert box(reply, Item("1", "heart", (100, 200, 300, 400))).scores["iou"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "reply", ["[300,200,100,400]", "[1,2,3]", '[{"box_2d":["a",1,2,3]}]', "[1, 2, 3, 4000]", "none"]
)
def test_boxes_that_are_none_count_as_wrong(reply):
    graded = box(reply, Item("1", "heart", (1, 2, 3, 4)))
    assert (graded.scores["iou"], graded.why) == (0.0, "none stated")


def test_what_is_trained_is_graded_as_right():
    gold = (101.2, 200.0, 300.0, 400.0)
    assert box("Final Answer: " + written(gold, "heart"), Item("1", "heart", gold)).scores["iou"] > 0.98
