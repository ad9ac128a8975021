module sluice.dev/example

go 1.22
