"""The command line: it translates what a user types into calls of :mod:`nascore.api`, and prints.

Command modules import the standard library and click at their top, nothing else, so that
``nascore --help`` is quick; all other imports stand inside the commands.
"""
