"""The one table: every error of the tree has a row, and codes that programs rely on stay as they are."""

from trimtab import errors


def tree(cls):
    return [cls, *(below for sub in cls.__subclasses__() for below in tree(sub))]


def test_every_error_has_a_row_of_its_own():
    ours = {cls for cls in tree(errors.TrimtabError) if cls.__module__ == "trimtab.errors"} - {errors.TrimtabError}
    assert ours == set(errors.TABLE)


def test_the_docstring_draws_the_whole_tree():
    for cls in errors.TABLE:
        assert cls.__name__ in errors.__doc__


def test_an_error_says_what_was_wrong_and_what_to_do():
    error = errors.NotFoundError("No model 'x'.", "Choose one of: auto.", param="model", code="model_not_found")
    assert str(error) == "No model 'x'. Choose one of: auto."
    assert (error.code, errors.row(error).status) == ("model_not_found", 404)


def test_an_unforeseen_error_is_an_internal_one():
    assert errors.row(ZeroDivisionError()).status == 500


def test_exit_codes_are_as_promised():
    assert {cls.__name__: row.exit for cls, row in errors.TABLE.items() if row.exit in (5, 6)} == {
        "LimitError": 6, "UpstreamError": 5, "UpstreamDownError": 5, "UpstreamTimeoutError": 5, "DeadlineError": 5,
        "NoAnswerError": 5, "OverloadError": 5,
    }  # fmt: skip
