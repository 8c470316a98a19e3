"""A task that returns a PDF: the plainest one that readers open, written without a library."""

from __future__ import annotations

from chalicelib.tasks import File, task


@task
def receipt(title: str, lines: list[str]) -> File:
    """Print lines of text on a page of a PDF."""
    return File.of(pdf([title, "", *lines]), name="receipt.pdf")


def pdf(lines: list[str]) -> bytes:
    """Return a PDF with one page of text; characters outside Latin-1 become question marks."""
    escaped = (line.translate({ord(sign): f"\\{sign}" for sign in "\\()"}) for line in lines)
    shown = "\n".join(f"({line}) '" for line in escaped).encode("cp1252", "replace")
    text = b"BT /F1 12 Tf 16 TL 72 780 Td\n%b\nET" % shown
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(text), text),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    file = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(file)
    return file + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer
