"""Changes that a person asks for in a task file and in the documents beside it: text and tasks in, edits out. Pure.

Every module answers with edits of the text that was parsed, or says why there are none (`Refused`). What renames or numbers ids
reads its own result again before it gives it away: where that would say something else, it is refused.
"""
