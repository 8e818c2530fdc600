"""New versions of components: downloaded, swapped in, on trial, committed or taken back."""
