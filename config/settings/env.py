"""Reads settings from the environment; each error names its variable."""

from environs import Env

env = Env()
env.read_env()
