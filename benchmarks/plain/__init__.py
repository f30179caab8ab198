"""What archlab's programs are counted against: GPT-2 and Llama written by hand, and what reads FLOPs and bytes off."""
