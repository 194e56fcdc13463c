"""Schedules: what is run by the clock, who may change it, and how its runs are started.

cron       when: the moments that an expression names
editing    what people do with schedules
due        what the sweep does with those that are due
"""
