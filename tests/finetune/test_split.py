"""`assay data split`: no group stands in two parts, nothing is lost, and a folder is written whole or not at all."""

import json

import pytest

from tests.conftest import command


def split(folder, *options):
    return command("data", "split", folder / "all", "--out", folder / "out", *options)


def documents(folder, count=20, groups=5):
    """Documents with their records, of as many laboratories; told by their names, too."""
    (folder / "all").mkdir()
    for number in range(count):
        lab = number % groups
        (folder / "all" / f"lab{lab}-{number}.pdf").write_bytes(b"%PDF " + bytes([number]))
        record = {"laboratory": f"Lab  {lab}" if number < groups else f"LAB {lab}", "site": {"city": f"C{lab}"}}
        (folder / "all" / f"lab{lab}-{number}.json").write_text(json.dumps(record))


def parts(folder):
    return {part.name: {path.name for path in part.rglob("*.*")} for part in (folder / "out").iterdir()}


@pytest.mark.parametrize("by", ["laboratory", "site.city", "city", "(lab[0-9]+)-"])
def test_a_laboratory_stands_in_one_part_and_no_file_is_lost(tmp_path, by):
    documents(tmp_path)
    done = split(tmp_path, "--by", by, "--validation", "0.2", "--test", "0.2")
    assert done.returncode == 0, done.stderr
    found = parts(tmp_path)
    assert {part: len(names) for part, names in found.items()} == {"train": 24, "validation": 8, "test": 8}
    labs = [{name.partition("-")[0] for name in names} for names in found.values()]
    assert sum(map(len, labs)) == len(set.union(*labs)) == 5
    assert "train       12 examples of 3 groups" in done.stdout and (tmp_path / "all" / "lab0-0.pdf").exists()
    first = {path.name for path in (tmp_path / "out" / "test").iterdir()}
    again = command("data", "split", tmp_path / "all", "--out", tmp_path / "two", "--by", by, "--validation", "0.2",
                    "--test", "0.2", "--link")  # fmt: skip
    assert again.returncode == 0 and {path.name for path in (tmp_path / "two" / "test").iterdir()} == first
    assert all(path.is_symlink() and path.read_bytes() for path in (tmp_path / "two" / "test").iterdir())


def test_copies_of_a_file_stay_together_and_what_belongs_to_nothing_is_named(tmp_path):
    documents(tmp_path, 6)
    for number in range(6):
        (tmp_path / "all" / f"lab{number % 5}-{number}.pdf").write_bytes(b"%PDF " + bytes([number // 2]))
    (tmp_path / "all" / "notes.txt").write_text("x")
    done = split(tmp_path, "--test", "0")
    assert done.returncode == 0 and "notes.txt" in done.stdout and "validation  2 examples of 1 group\n" in done.stdout
    assert {part: len(names) for part, names in parts(tmp_path).items()} == {"train": 8, "validation": 4}


def test_sub_folders_are_groups_and_records_come_to_lie_in_one_folder(tmp_path):
    for vendor in "abc":
        (tmp_path / "all" / vendor).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "all" / vendor / f"{number}.pdf").write_bytes(f"{vendor}{number}".encode())
            (tmp_path / "all" / vendor / f"{number}.json").write_text("{}")
    assert split(tmp_path, "--by", "folder").returncode == 0
    found = parts(tmp_path)
    assert [len(names) for names in found.values()] == [4, 4, 4]
    assert {name[0] for names in found.values() for name in names} == set("abc")
    assert all((tmp_path / "out" / part / name).is_file() for part, names in found.items() for name in names)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_rows_of_a_table_go_with_the_pictures_that_they_name(tmp_path, kind):
    (tmp_path / "all" / "images").mkdir(parents=True)
    rows = [{"image": f"{n}.png", "case": f"p{n // 2}", "answer": 'a, "b"'} for n in range(10)]
    for row in rows:
        (tmp_path / "all" / "images" / row["image"]).write_bytes(b"png")
    if kind == "csv":
        quoted = "".join(f'{row["image"]},{row["case"]},"a, ""b"""\n' for row in rows)
        (tmp_path / "all" / "train.csv").write_text("image,case,answer\n" + quoted)
    else:
        (tmp_path / "all" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "all" / "row.yaml").write_text("recipe: vqa\n")
    done = split(tmp_path, "--by", "case", "--validation", "0.2", "--test", "0.2")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "row.yaml").exists() and "Left out" not in done.stdout
    for part, count in (("train", 6), ("validation", 2), ("test", 2)):
        from recipes.tables import table

        own = [cells for _, cells in table(tmp_path / "out" / part / f"{part}.{kind}")]
        assert len(own) == count and {row["answer"] for row in own} == {'a, "b"'}
        assert {path.name for path in (tmp_path / "out" / part / "images").iterdir()} == {row["image"] for row in own}
    twice = "image,case\n1.png,p1\n1.png,p2\n", '{"image": "1.png", "case": "p1"}\n{"image": "1.png", "case": "p2"}\n'
    (tmp_path / "all" / f"train.{kind}").write_text(twice[kind == "jsonl"])
    done = command("data", "split", tmp_path / "all", "--out", tmp_path / "other", "--by", "case")
    assert done.returncode == 2 and "belongs to two groups, p1 and p2" in done.stderr


def test_the_empty_folders_of_a_new_recipe_are_filled(tmp_path):
    documents(tmp_path)
    for part in ("train", "validation"):
        (tmp_path / "out" / part).mkdir(parents=True)
    assert split(tmp_path).returncode == 0 and any((tmp_path / "out" / "train").iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "vendor"], "Nothing says the group of lab0-0.pdf"),
        (["--by", "folder"], "Nothing says the group of"),
        (["--by", "lab("], "no pattern"),
        (["--by", "(lab)"], "There is 1 group for 3 parts"),
    ],
)
def test_what_cannot_be_divided_leaves_nothing(tmp_path, options, said):
    documents(tmp_path)
    done = split(tmp_path, *options)
    assert done.returncode == 2 and said in done.stderr and [path.name for path in tmp_path.iterdir()] == ["all"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").touch()
    assert "is there already" in split(tmp_path).stderr
    (tmp_path / "out" / "x").unlink()
    (tmp_path / "out" / "elsewhere").symlink_to(tmp_path / "all")
    assert "is there already" in split(tmp_path).stderr and (tmp_path / "out" / "elsewhere").is_symlink()
    inside = command("data", "split", tmp_path / "all", "--out", tmp_path / "all" / "parts")
    assert inside.returncode == 2 and "choose one outside" in inside.stderr
