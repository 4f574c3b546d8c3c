"""What the audit makes of pip-audit's answers: silence is no good news."""

import pytest

from tools.audit import UNKNOWN, VULNERABLE, Verdict, report

FINE = Verdict("redis 8.1.0", (), is_known=True)
SILENT = Verdict("uvloop 0.23.0", (), is_known=False)
BAD = Verdict("h11 0.9", ("CVE-1 (fixed in ['0.16'])",), is_known=True)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([FINE], 0),
        ([FINE, SILENT], UNKNOWN),
        ([FINE, BAD], VULNERABLE),
        ([SILENT, BAD], VULNERABLE),
    ],
)
def test_only_an_answer_about_every_package_is_a_pass(verdicts: list[Verdict], code: int) -> None:
    assert report("runtime.txt", verdicts) == code


def test_what_is_vulnerable_is_named_with_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    report("runtime.txt", [BAD])
    assert "h11 0.9: CVE-1" in capsys.readouterr().out
