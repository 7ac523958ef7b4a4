"""Instruction data from symbols: scenes, teachers that read them, records that they write."""
