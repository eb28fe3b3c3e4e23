"""The kinds of constraint on θ − θ0, a class and a file each; adding a file here adds a kind."""
