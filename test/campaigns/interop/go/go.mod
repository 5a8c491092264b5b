module lsmpeer

go 1.19
