"""NAS: a recurrent controller trained by REINFORCE (Zoph and Le 2017, arXiv:1611.01578)."""
