"""What checks types and shapes in the tests (see conftest.py): beartype, for which a whole number is a float too."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
