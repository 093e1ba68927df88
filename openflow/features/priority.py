"""Priorities within a table, from first to last word. Policy tiers compute their own from 100 up to 65,000."""

TOP = 60000
HIGHER = 55000
HIGH = 50000
NORMAL = 40000
LOW = 30000
LOWER = 20000
LOWEST = 10000
MISS = 0
