from reportlab.pdfgen.canvas import Canvas

from extraction.document import open_document, page_text, render_page


def test_opens_lays_out_and_renders(tmp_path):
    canvas = Canvas(str(tmp_path / "a.pdf"))
    canvas.drawString(72, 700, "Glucose")
    canvas.drawString(300, 700, "95 mg/dL")
    canvas.save()
    document = open_document(tmp_path / "a.pdf")
    assert page_text(document.pages[0]) == "Glucose  95 mg/dL"
    assert render_page(tmp_path / "a.pdf", 1, dpi=72).size == (596, 842)
