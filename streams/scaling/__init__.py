"""How many members a group's work needs, said by the members themselves."""
