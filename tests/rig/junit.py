"""Prints how many tests of a JUnit report passed and failed. No report, or one without tests, is
one failure."""
import sys
import xml.etree.ElementTree


def count(path):
    """(passed, failed); errors count as failures, skipped tests as neither."""
    try:
        cases = list(xml.etree.ElementTree.parse(path).getroot().iter("testcase"))
    except (OSError, xml.etree.ElementTree.ParseError):
        cases = []
    if not cases:
        return 0, 1
    failed = sum(case.find("failure") is not None or case.find("error") is not None
                 for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return len(cases) - failed - skipped, failed


if __name__ == "__main__":
    print(*count(sys.argv[1]))
