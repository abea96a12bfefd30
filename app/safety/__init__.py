"""Rules over what runs print and use. Pure: what a finding does to its run is the supervisor's business."""
