"How values, ranges and names are said: every edge on both sides, and nothing that could do anything."
import numpy as np
import pytest

from dsmon_research.words import band_words, number_words, shown


@pytest.mark.parametrize("value, kind, words", [
    (None, "share", "unknown"), (np.nan, "count", "unknown"), (np.inf, "number", "unknown"), (-np.inf, "time", "unknown"),
    (0., "share", "0 %"), (-.2, "share", "0 %"), (1., "share", "100 %"), (1.5, "share", "100 %"), (.0123, "share", "1.2 %"), (.0999, "share", "10 %"), (.1, "share", "10 %"), (.104, "share", "10 %"), (.994, "share", "99 %"),
    (.995, "share", "99.5 %"), (.99987, "share", "99.99 %"), (1e-5, "share", "0.001 %"),
    (0, "time", "1970-01-01 00:00"), (1_400_000_000, "time", "2014-05-13 16:53"), (1e30, "time", "9892-03-08 12:26"), (-1e30, "time", "0068-09-03 13:20"),
    (1234.5, "count", "1,234"), (0, "count", "0"), (999.9, "number", "1e+03"), (1000., "number", "1,000"), (-1000., "number", "-1,000"), (-999., "number", "-999"), (1234567.8, "number", "1,234,568"), (.00123456, "number", "0.00123")])
def test_a_value_as_people_say_it(value, kind, words): assert number_words(value, kind) == words

@pytest.mark.parametrize("low, high, kind, words", [
    (.1, .2, "share", "usually 10–20 %"), (-.3, .2, "share", "usually 0–20 %"), (.9, 1.7, "share", "usually 90–100 %"), (-1, -.5, "share", "usually 0 %"), (.1, .104, "share", "usually 10 %"),
    (-5, 20, "count", "usually 0–20"), (3, 3, "count", "usually 3"), (1.5, 2.5, "number", "usually 1.5–2.5"), (-1.5, 2.5, "number", "usually -1.5 to 2.5"), (1.5, np.nan, "number", "usually 1.5–unknown"),
    (0, 86400, "time", "usually 1970-01-01 00:00 to 1970-01-02 00:00"), (np.nan, .2, "share", "usually unknown–20 %")])
def test_a_range_as_people_say_it(low, high, kind, words): assert band_words(low, high, kind) == words

def test_a_name_is_one_printable_line():
    assert shown("x"*28) == "x"*28 and shown("x"*29) == "x"*27+"…" and shown("abcdef", 3) == "ab…" and shown("") == ""
    for bad in "\n\r\t\x00\x1b\u202e\u2028\ud800": assert shown(f"a{bad}b") == "a·b"
    assert shown("naïve 名 – ok") == "naïve 名 – ok" and all(len(shown(c*n)) <= 28 for c in "a名\n" for n in range(40))
