"""Values hidden from a closed model behind tokens, and put back into its answers, whole or streamed."""
