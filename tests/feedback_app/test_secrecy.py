from feedback_app.secrecy import without_secrets


def test_passwords_and_query_strings_of_addresses_are_left_out() -> None:
    said = "cannot read 'https://ada:s3cret@data.example/rows.csv?token=abc&x=1' at all"

    assert without_secrets(said) == "cannot read 'https://data.example/rows.csv?…' at all"


def test_other_text_stays_as_it_is() -> None:
    said = "Traceback: ValueError: what? me@example.org said 3 > 2"

    assert without_secrets(said) == said
