# Independent reference values for times to an event, by R's survival; see survival_data.py.
# Written with R 4.2.2, survival 3.5-3 and jsonlite.
suppressMessages(library(survival))
library(jsonlite)
all <- fromJSON("survival.json")

curve <- function(fit) list(time = fit$time, n = fit$n.risk, survival = fit$surv,
                            se = fit$surv * fit$std.err, low = fit$lower, high = fit$upper)
agreement <- function(fit) list(c = unname(fit$concordance), se = unname(sqrt(fit$var)),
                                count = unname(as.matrix(t(fit$count))[1:5]))
# P(followed beyond t) from the training people; events come first at equal times.
followed <- function(time, event) {
  late <- time + ifelse(event == 1, 0, 1e-6)
  fit <- survfit(Surv(late, 1 - event) ~ 1)
  function(t, before = FALSE) {
    at <- if (before) findInterval(t, fit$time, left.open = TRUE) else findInterval(t, fit$time)
    c(1, fit$surv)[at + 1]
  }
}

result <- list()
for (name in names(all$data)) {
  d <- all$data[[name]]
  y <- Surv(d$time, d$event)
  out <- list()
  out$km <- curve(survfit(y ~ 1, conf.type = "log-log"))
  out$c <- agreement(concordance(y ~ d$risk, reverse = TRUE))
  s <- concordance(y ~ d$risk + strata(d$group), reverse = TRUE)
  out$c_strata <- list(c = unname(s$concordance), se = unname(sqrt(s$var)))
  out$uno <- agreement(concordance(y ~ d$risk, reverse = TRUE, timewt = "n/G2", ymax = d$tau))
  test <- survdiff(y ~ d$group)
  out$logrank <- list(chisq = test$chisq, expected = test$exp, observed = test$obs)
  if (max(d$cause) > 1) {
    many <- survfit(Surv(d$time, factor(d$cause)) ~ 1, conf.type = "log-log")
    out$aj <- list(time = many$time, incidence = many$pstate[, 2:3], se = many$std.err[, 2:3],
                   low = many$lower[, 2:3], high = many$upper[, 2:3])
  }
  # Graf's score and the AUC at horizons, from their formulas.
  G <- followed(d$train_time, d$train_event)
  w <- 1 / G(d$time, before = TRUE)
  out$brier <- sapply(seq_along(d$times), function(k) {
    t <- d$times[k]; s <- d$survival[, k]
    mean(ifelse(d$time <= t, ifelse(d$event == 1, s^2 * w, 0), (1 - s)^2 / G(t)))
  })
  out$auc <- sapply(d$times, function(t) {
    i <- which(d$time <= t & d$event == 1); j <- which(d$time > t)
    won <- outer(d$risk[i], d$risk[j], ">") + 0.5 * outer(d$risk[i], d$risk[j], "==")
    sum(w[i] * rowMeans(won)) / sum(w[i])
  })
  # Calibration at the second horizon, weighted by the people's own censoring.
  own <- followed(d$time, d$event)
  h <- d$times[2]
  risk <- 1 - d$survival[, 2]
  case <- as.integer(d$time <= h & d$event == 1)
  weight <- ifelse(d$time > h, 1 / own(h), ifelse(case == 1, 1 / own(d$time, before = TRUE), 0))
  x <- log(-log(1 - risk))
  tight <- glm.control(epsilon = 1e-15, maxit = 200)
  robust <- function(fit) {
    eta <- fit$linear.predictors; p <- fit$fitted.values
    dp <- exp(eta - exp(eta)); X <- model.matrix(fit)
    bread <- solve(t(X) %*% (X * (weight * dp^2 / (p * (1 - p)))))
    each <- X * (weight * (case - p) * dp / (p * (1 - p)))
    sqrt(diag(bread %*% (t(each) %*% each) %*% bread))
  }
  slope <- suppressWarnings(glm(case ~ x, family = quasibinomial("cloglog"), weights = weight,
                                control = tight))
  shift <- suppressWarnings(glm(case ~ offset(x), family = quasibinomial("cloglog"),
                                weights = weight, control = tight))
  fit <- summary(survfit(y ~ 1, conf.type = "log-log"), times = h)
  out$calibration <- list(slope = unname(coef(slope)[2]), slope_se = unname(robust(slope)[2]),
                          intercept = unname(coef(shift)[1]), intercept_se = unname(robust(shift)),
                          observed = 1 - fit$surv, low = 1 - fit$upper, high = 1 - fit$lower)
  result[[name]] <- out
}
all$R <- result
write(toJSON(all, digits = I(17), auto_unbox = TRUE, na = "null"), "survival.json")
