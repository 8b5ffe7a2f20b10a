#!/usr/bin/env perl
# Says it louder. Try: duologue run --port=8080 ./shout.pl
use strict;
use warnings;

$| = 1;    # or the lines would wait in a buffer
while (my $line = <STDIN>) {
    print uc $line;
}
