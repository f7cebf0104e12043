"""All 15,625 cells of NAS-Bench-201, trained on digits three times each: a truth to judge samplers by."""
