from __future__ import annotations

from backpack.shelf import Shelf


def test_what_was_used_last_stays() -> None:
    shelf = Shelf(10)
    for key in "abc":
        shelf.put(key, key.upper(), 3)
    shelf.get("a")

    shelf.put("d", "D", 4)

    assert [shelf.get(key) for key in "abcd"] == ["A", None, "C", "D"]


def test_too_large_for_the_shelf_is_not_kept() -> None:
    shelf = Shelf(10)
    shelf.put("a", "A", 5)

    shelf.put("b", "B", 11)

    assert [shelf.get(key) for key in "ab"] == ["A", None]


def test_replaced_and_dropped_make_room() -> None:
    shelf = Shelf(10)
    shelf.put("a", "A", 9)
    shelf.put("a", "A2", 5)
    shelf.put("b", "B", 5)
    shelf.drop("b")
    shelf.put("c", "C", 5)

    assert [shelf.get(key) for key in "abc"] == ["A2", None, "C"]
