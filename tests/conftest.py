"""What every test may use."""

pytest_plugins = ["tests.databases", "tests.aws_credentials"]
