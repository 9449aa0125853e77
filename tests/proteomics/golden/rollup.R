# Golden values of Tukey's median polish: overall + column effects of stats::medpolish
# (ions in rows, samples in columns), for one complete table and one with missing values.
# Run in this folder: Rscript rollup.R
set.seed(11)
write <- function(x, file) {
  text <- apply(x, 2, function(v) ifelse(is.na(v), "", sprintf("%.17g", v)))
  write.table(text, file, sep = ",", quote = FALSE, row.names = FALSE)
}
ions <- rnorm(9, 24, 2)
people <- rnorm(7, 0, 1)
full <- outer(ions, people, `+`) + matrix(rnorm(63, 0, 0.4), 9, 7)
colnames(full) <- paste0("S", 1:7)
holes <- full
holes[sample(length(holes), 18)] <- NA
profile <- function(x) {
  fit <- medpolish(x, trace.iter = FALSE, na.rm = TRUE)
  fit$overall + fit$col
}
write(full, "rollup/full.csv")
write(holes, "rollup/holes.csv")
write(rbind(full = profile(full), holes = profile(holes)), "rollup/expected.csv")
