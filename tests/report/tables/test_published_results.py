"""Published numbers: the rows that must be there, their tags and the remarks beside them."""

from harness.report.tables.published_results import REMARKS, RESULTS, digits


def find(source, backbone, method):
    (row,) = [row for row in RESULTS if (row.source, row.backbone, row.method) == (source, backbone, method)]
    return tuple(digits(row, value) for value in (row.dino, row.clip_t, row.clip_i))


def test_numbers_stand_in_the_columns_they_were_printed_in():
    assert find("P&P, Table 1", "SD 1.5", "DreamBooth + Lipschitz") == ("0.6394", "0.2976", "0.7948")
    assert find("P&P, Table 2", "SD 1.5", "IP-Adapter") == ("0.6304", "0.2635", "0.8318")
    assert find("DreamBooth paper", "–", "Real images") == ("0.774", "–", "0.885")
    assert find("P&P, Figure 6", "SD 1.5", "DreamBooth + Lipschitz λ=500") == ("0.6395", "0.2976", "0.7949")


def test_what_was_read_off_a_plot_is_tagged():
    assert {row.source for row in RESULTS if row.origin == "digitised"} == {"P&P, Figure 6"}


def test_every_remark_that_a_row_names_is_there():
    assert {row.remark for row in RESULTS} - {""} <= {str(1 + number) for number in range(len(REMARKS))}
