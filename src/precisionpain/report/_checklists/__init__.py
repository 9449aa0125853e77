"""Reporting checklists as data, and what a card knows that bears on their items."""
