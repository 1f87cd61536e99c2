"""What people look at: the annotated picture, the live terminal table, the annotated video."""
