"""First on the path of a measured process: the module sqlite3 is pysqlite3, which brings a newer SQLite library."""

import importlib
import sys

sys.modules["sqlite3"] = importlib.import_module("pysqlite3")
sys.modules["sqlite3.dbapi2"] = importlib.import_module("pysqlite3.dbapi2")
