"""Edits as models send them: read in any format, placed exactly or refused with the reason.

`read_answer` turns text into an `Answer`, `apply_answer` turns that into changes of files, all or none. Pure: files come
as a mapping from root-relative path to bytes, and nothing is written.
"""
