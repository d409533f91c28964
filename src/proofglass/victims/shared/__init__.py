"""What white-box victims share, whatever computes them: tokenised pairs, their tasks, marks, how tokens are chosen."""
