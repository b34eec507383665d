"""The path of a record: poll, admit, run, settle, commit; and what keeps order when a run fails."""
