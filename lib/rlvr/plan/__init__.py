"""What a study needs before anything is spent: memory, jobs, hours, and what its tests could see."""
