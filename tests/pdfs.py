"""PDFs written by hand (ISO 32000-1): a page of 300 x 200 points, and what it is to hold."""

from __future__ import annotations

FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
DINGBATS = b"<</Type/Font/Subtype/Type1/BaseFont/ZapfDingbats>>"
SQUARE = b"0 0 100 100 re f"


def written(objects: list[bytes]) -> bytes:
    """A document of these objects, from 1 on; the first is its catalogue."""
    content, starts = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        starts.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(content)
    content += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    content += b"".join(b"%010d 00000 n \n" % start for start in starts)
    content += b"trailer\n<</Size %d/Root 1 0 R>>\n" % (len(objects) + 1)
    return bytes(content + b"startxref\n%d\n%%%%EOF\n" % table)


def stream(content: bytes, entries: bytes = b"") -> bytes:
    """A stream object."""
    return b"<</Length %d %s>>\nstream\n%s\nendstream" % (len(content), entries, content)


def drawing(content: bytes, entries: bytes = b"", height: int = 100) -> bytes:
    """A drawing that a page or an annotation can show, 180 points wide."""
    box = b"/BBox[0 0 180 %d]" % height
    form = b"/Type/XObject/Subtype/Form/Resources<</Font<</F1 5 0 R>>>>"
    return stream(content, form + box + entries)


def page_of(
    content: bytes = b" ",
    *more: bytes,
    page: bytes = b"",
    box: bytes = b"/MediaBox[0 0 300 200]",
    tree: bytes = b"",
    catalogue: bytes = b"",
    resources: bytes = b"",
) -> bytes:
    """A page of this content; object 5 is a font, and what is given beside is from 6 on."""
    fonts = b"/Font<</F1 5 0 R>>"
    return written(
        [
            b"<</Type/Catalog/Pages 2 0 R %s>>" % catalogue,
            b"<</Type/Pages/Kids[3 0 R]/Count 1 %s>>" % tree,
            b"<</Type/Page/Parent 2 0 R %s %s/Contents 4 0 R/Resources<<%s%s>>>>"
            % (box, page, fonts, resources),
            stream(content),
            FONT,
            *more,
        ]
    )


def form_of(field: bytes, *more: bytes, form: bytes = b"", fields: bytes = b"6 0 R") -> bytes:
    """A page with a field (object 6) at 80 to 260 and 150 to 180 points; others are from 8 on."""
    resources = b"/DR<</Font<</F1 5 0 R/ZaDb 7 0 R>>>>/DA(/F1 14 Tf 0 g)"
    widget = b"/Type/Annot/Subtype/Widget/T(f)/F 4/Rect[80 150 260 180]/DA(/F1 14 Tf 0 g)"
    return page_of(
        b" ",
        b"<<%s %s>>" % (widget, field),
        DINGBATS,
        *more,
        page=b"/Annots[6 0 R]",
        catalogue=b"/AcroForm<</Fields[%s]%s%s>>" % (fields, resources, form),
    )


def layered(
    content: bytes, state: bytes, *, drawn: bytes = b"", usage: bytes = b"", page: bytes = b""
) -> bytes:
    """A page with a layer (object 6, /L) and a drawing (object 7, /X)."""
    return page_of(
        content,
        b"<</Type/OCG/Name(L)%s>>" % usage,
        drawing(SQUARE, drawn),
        catalogue=b"/OCProperties<</OCGs[6 0 R]/D<<%s>>>>" % state,
        page=page,
        resources=b"/Properties<</L 6 0 R>>/XObject<</X 7 0 R>>",
    )
